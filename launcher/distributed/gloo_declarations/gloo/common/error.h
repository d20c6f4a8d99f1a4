#pragma once
// Named by ProcessGroupGloo.hpp, needed by none of its declarations.
