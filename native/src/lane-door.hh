// What addon.cc exports of lane-door.cc.
#pragma once

#include <napi.h>

Napi::Function DefineLanes(Napi::Env env);
