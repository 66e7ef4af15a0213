// What addon.cc tells lane-door.cc of itself.
#pragma once

#include <napi.h>

#include "engine/engine.hh"

// The engine behind a JavaScript object of the addon's class `Engine`; it lives as long as that.
wiretrial::Engine* EngineOf(const Napi::Object& door);
