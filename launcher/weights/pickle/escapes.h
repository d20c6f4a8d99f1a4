#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace tessera::pickle {

/// Says what was expected and what was found instead, with the place; does not return.
using Complaint = std::function<void(const std::string& expected, const std::string& got)>;

/// Text of Python 2's repr of a string, quotes and escapes undone: the bytes of a Latin-1 text.
/// Complains where the quotes do not match or repr writes no such escape.
std::string text_of_repr(std::string_view line, const Complaint& complain);

/// UTF-8 of Latin-1 with \uXXXX and \UXXXXXXXX, as protocol 0 writes text. Complains of code points
/// that Unicode does not have.
std::string text_of_escaped_latin1(std::string_view line, const Complaint& complain);

}  // namespace tessera::pickle
