// The only file that knows Node: the door between JavaScript and the compiled engine.
//
// The engine is not written yet. Until then the addon exports the layout version it was built for,
// so that a loader can refuse a stale build instead of trusting it.
#include <napi.h>

namespace {

constexpr int kLayoutVersion = 0;

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("layoutVersion", Napi::Number::New(env, kLayoutVersion));
  return exports;
}

}  // namespace

NODE_API_MODULE(wiretrial, Init)
