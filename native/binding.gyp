{
  "targets": [
    {
      "target_name": "wiretrial",
      "sources": ["src/addon.cc", "src/lane-door.cc", "src/engine/run.cc", "src/engine/run-avx2.cc", "src/engine/verdicts.cc", "src/engine/verdicts-avx2.cc", "src/engine/verdicts-avx512.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      "cflags_cc": ["-std=c++20", "-O3", "-g", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fno-strict-aliasing"]
    }
  ]
}
