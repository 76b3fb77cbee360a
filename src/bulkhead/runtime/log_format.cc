#include "bulkhead/runtime/log_format.h"

#include <optional>
#include <string>
#include <string_view>

#include "bulkhead/base/clock.h"

namespace bulkhead::runtime {

std::string_view to_string(OutputStream stream) {
  return stream == OutputStream::Stdout ? "stdout" : "stderr";
}

void append_log_line(std::string& to, std::string_view time, OutputStream stream, bool partial,
                     std::string_view text) {
  to += time;
  to += stream == OutputStream::Stdout ? " stdout " : " stderr ";
  to += partial ? "P " : "F ";
  to += text;
  to += '\n';
}

std::optional<LogLine> parse_log_line(std::string_view line) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos) {
    return std::nullopt;
  }
  const auto time = parse_rfc3339(line.substr(0, first));
  if (!time) {
    return std::nullopt;
  }
  std::string_view rest = line.substr(first + 1);
  OutputStream stream{};
  if (rest.starts_with("stdout ")) {
    stream = OutputStream::Stdout;
  } else if (rest.starts_with("stderr ")) {
    stream = OutputStream::Stderr;
  } else {
    return std::nullopt;
  }
  rest.remove_prefix(7);
  // Tags are separated by colons; only the first is ours, later ones are for the future.
  const auto tags_end = rest.find(' ');
  if (tags_end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view tags = rest.substr(0, tags_end);
  const std::string_view tag = tags.substr(0, tags.find(':'));
  if (tag != "P" && tag != "F") {
    return std::nullopt;
  }
  return LogLine{
      .time = *time, .stream = stream, .partial = tag == "P", .text = rest.substr(tags_end + 1)};
}

}  // namespace bulkhead::runtime
