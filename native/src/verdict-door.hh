// The door between JavaScript and verdicts by class tables (engine/verdicts.hh).
#pragma once

#include <napi.h>

#include <memory>
#include <new>

#include "engine/verdicts.hh"

namespace wiretrial {

// Tables of classes as `classArrays` of src/engine/compiled/class-arrays.ts lists them.
inline ClassTables class_tables(const Napi::Array& given) {
  const auto words = [&](uint32_t i) { return given.Get(i).As<Napi::Uint32Array>().Data(); };
  const auto ports = [&](uint32_t i) { return given.Get(i).As<Napi::Uint16Array>().Data(); };
  return ClassTables{{words(0), words(1)},
                     {words(2), words(3)},
                     {ports(4), ports(5)},
                     {ports(6), ports(7)}};
}

class VerdictDoor : public Napi::ObjectWrap<VerdictDoor> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Verdicts",
                       {
                           InstanceMethod<&VerdictDoor::UseClasses>("useClasses"),
                           InstanceMethod<&VerdictDoor::LookAt>("lookAt"),
                           InstanceMethod<&VerdictDoor::Set>("set"),
                           InstanceMethod<&VerdictDoor::Run>("run"),
                           InstanceMethod<&VerdictDoor::Paths>("paths"),
                       });
  }

  // (capacity)
  explicit VerdictDoor(const Napi::CallbackInfo& info) : Napi::ObjectWrap<VerdictDoor>(info) {
    const auto capacity = static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value());
    verdicts_.reset(new (std::nothrow) Verdicts(capacity));
    if (verdicts_ != nullptr && verdicts_->is_whole()) return;
    verdicts_.reset();
    Napi::Error::New(info.Env(), "not enough memory for the tables").ThrowAsJavaScriptException();
  }

 private:
  static uint32_t U32(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }

  static VerdictBatch batch(const Napi::Value& value) {
    const auto given = value.As<Napi::Object>();
    const auto words = [&](const char* name) {
      return given.Get(name).As<Napi::Uint32Array>().Data();
    };
    return VerdictBatch{words("src"), words("dst"), words("ports"), words("kinds"),
                        given.Get("results").As<Napi::Int32Array>().Data()};
  }

  // useClasses(tables): read in place until the next call.
  void UseClasses(const Napi::CallbackInfo& info) {
    const auto given = info[0].As<Napi::Array>();
    verdicts_->use(class_tables(given));
    keep_ = Napi::Persistent(given.As<Napi::Object>());
  }

  void LookAt(const Napi::CallbackInfo& info) {
    verdicts_->look_at(static_cast<uint8_t>(U32(info[0])));
  }

  // set(batch, index, number)
  void Set(const Napi::CallbackInfo& info) {
    verdicts_->set(batch(info[0]), U32(info[1]), info[2].As<Napi::Number>().Int32Value());
  }

  // run(batch, from, to, path) → the first packet that is unknown, or `to`
  Napi::Value Run(const Napi::CallbackInfo& info) {
    const auto path = static_cast<VerdictPath>(U32(info[3]));
    const uint32_t at = verdicts_->run(path, batch(info[0]), U32(info[1]), U32(info[2]));
    return Napi::Number::New(info.Env(), at);
  }

  // paths() → the ways that this processor can go, the best one last
  Napi::Value Paths(const Napi::CallbackInfo& info) {
    auto found = Napi::Array::New(info.Env());
    for (const auto path : {VerdictPath::kPortable, VerdictPath::kAvx2, VerdictPath::kAvx512}) {
      if (Verdicts::can(path)) found.Set(found.Length(), static_cast<uint32_t>(path));
    }
    return found;
  }

  std::unique_ptr<Verdicts> verdicts_;
  Napi::ObjectReference keep_;
};

}  // namespace wiretrial
