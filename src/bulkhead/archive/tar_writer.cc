#include "bulkhead/archive/tar_writer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "bulkhead/archive/stream.h"
#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/base/text.h"

// Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".

namespace bulkhead::archive {
namespace {

constexpr std::size_t kBlockBytes = 512;
constexpr std::size_t kNameBytes = 100;
constexpr std::uint64_t kLargestOctal = 077777777777;  // eleven digits

constexpr std::array<std::byte, 2 * kBlockBytes> kZeros{};

/// One header block. Fields by offset, as the standard lists them.
std::string block(std::string_view name, char type, std::uint64_t size) {
  std::string text(kBlockBytes, '\0');
  const auto put = [&](std::size_t at, std::string_view value) {
    std::ranges::copy(value, text.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name.substr(0, kNameBytes));
  put(100, type == '5' ? "0000755" : "0000644");
  put(108, "0000000");  // uid
  put(116, "0000000");  // gid
  put(124, fmt::format("{:011o}", std::min(size, kLargestOctal)));
  put(136, "00000000000");  // time
  put(148, "        ");     // the checksum counts as blanks
  text[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : text) {
    sum += static_cast<unsigned char>(c);
  }
  put(148, fmt::format("{:06o}", sum));
  text[154] = '\0';
  return text;
}

/// "27 path=…\n", whose number counts itself too.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (rest + std::to_string(length).size() > length) {
    ++length;
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

}  // namespace

Result<> TarWriter::header(std::string_view name, char type, std::uint64_t size) {
  std::string pax;
  if (name.size() > kNameBytes) {
    pax += pax_record("path", name);
  }
  if (size > kLargestOctal) {
    pax += pax_record("size", std::to_string(size));
  }
  if (!pax.empty()) {
    BH_TRY(out_.write(as_bytes(block("pax", 'x', pax.size()))));
    BH_TRY(out_.write(as_bytes(pax)));
    BH_TRY(pad(pax.size()));
  }
  return out_.write(as_bytes(block(name, type, size)));
}

Result<> TarWriter::pad(std::uint64_t size) {
  const auto rest = static_cast<std::size_t>((kBlockBytes - size % kBlockBytes) % kBlockBytes);
  return rest == 0 ? Result<>() : out_.write(Bytes(kZeros).first(rest));
}

Result<> TarWriter::directory(std::string_view name) { return header(name, '5', 0); }

Result<> TarWriter::file(std::string_view name, Bytes content) {
  BytesReader reader(content);
  return file(name, content.size(), reader);
}

Result<> TarWriter::file(std::string_view name, std::uint64_t size, Reader& content) {
  BH_TRY(header(name, '0', size));
  const std::uint64_t written = BH_TRY(copy(content, out_));
  if (written != size) {
    return fail(ErrorCode::Corrupt, "{}: {} bytes where {} were expected", quote(name), written,
                size);
  }
  return pad(size);
}

Result<> TarWriter::finish() { return out_.write(kZeros); }

}  // namespace bulkhead::archive
