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

 private:
  std::size_t limit_;
  std::string text_;
};

}  // namespace bulkhead::vmm::qemu
