#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace bulkhead::vmm::qemu {

/// The last `limit` bytes of a stream, and no more memory than twice that.
class TextTail {
 public:
  explicit TextTail(std::size_t limit) : limit_(limit) {}

  void append(std::string_view text) {
    text_ += text.substr(text.size() - std::min(text.size(), limit_));
    if (text_.size() > 2 * limit_) {
      text_.erase(0, text_.size() - limit_);
    }
  }

  [[nodiscard]] std::string_view text() const {
    return std::string_view(text_).substr(text_.size() - std::min(text_.size(), limit_));
  }

  /// The last line that is not empty, without its end.
  [[nodiscard]] std::string_view last_line() const {
    std::string_view all = text();
    const std::size_t end = all.find_last_not_of("\r\n\t ");
    if (end == std::string_view::npos) {
      return {};
    }
    all = all.substr(0, end + 1);
    const std::size_t begin = all.find_last_of("\r\n");
    return begin == std::string_view::npos ? all : all.substr(begin + 1);
  }

 private:
  std::size_t limit_;
  std::string text_;
};

}  // namespace bulkhead::vmm::qemu
