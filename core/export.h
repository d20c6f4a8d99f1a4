#pragma once

/// Marks what libtessera_core.so shows to plugins and programs; everything else stays hidden.
#define TESSERA_API __attribute__((visibility("default")))
