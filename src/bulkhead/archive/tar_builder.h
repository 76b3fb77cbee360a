#pragma once

// Makes tar streams for tests, hostile ones too: every header field can be set as it stands.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bulkhead/base/bytes.h"

namespace bulkhead::archive {

struct TarMember {
  std::string name;
  char type = '0';
  std::string content;
  std::string link;
  std::uint32_t mode = 0644;
  std::uint64_t uid = 0;
  std::uint64_t gid = 0;
  std::int64_t mtime = 1'700'000'000;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  /// Records of a pax header before it, e.g. {"SCHILY.xattr.user.a", "b"}.
  std::vector<std::pair<std::string, std::string>> pax;
  std::string size_field;  ///< as it stands; empty: the content's size
};

class TarBuilder {
 public:
  TarBuilder& add(const TarMember& member) {
    auto pax = member.pax;
    if (member.name.size() > 100) {
      pax.emplace_back("path", member.name);
    }
    if (member.link.size() > 100) {
      pax.emplace_back("linkpath", member.link);
    }
    for (const auto& [key, value] : {std::pair{"uid", member.uid}, {"gid", member.gid}}) {
      if (value > 07777777) {
        pax.emplace_back(key, std::to_string(value));
      }
    }
    if (member.mtime < 0 || member.mtime > 077777777777) {
      pax.emplace_back("mtime", std::to_string(member.mtime));
    }
    if (!pax.empty()) {
      std::string records;
      for (const auto& [key, value] : pax) {
        records += record(key, value);
      }
      header({.name = "pax", .type = 'x', .content = records});
      body(records);
    }
    header(member);
    body(member.content);
    return *this;
  }

  TarBuilder& file(std::string name, std::string content) {
    return add({.name = std::move(name), .content = std::move(content)});
  }

  TarBuilder& directory(std::string name, std::uint32_t mode = 0755) {
    return add({.name = std::move(name), .type = '5', .mode = mode});
  }

  TarBuilder& symlink(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '2', .link = std::move(target), .mode = 0777});
  }

  TarBuilder& hard_link(std::string name, std::string target) {
    return add({.name = std::move(name), .type = '1', .link = std::move(target)});
  }

  /// Bytes as they are.
  TarBuilder& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }

  [[nodiscard]] const std::string& bytes() const { return bytes_; }

  /// With the end-of-archive mark.
  [[nodiscard]] std::string finished() const { return bytes_ + std::string(1024, '\0'); }

 private:
  static std::string record(std::string_view key, std::string_view value) {
    const std::size_t rest = key.size() + value.size() + 3;  // blank, '=', newline
    std::size_t length = rest;
    while (std::to_string(length).size() + rest != length) {
      length = std::to_string(length).size() + rest;
    }
    return fmt::format("{} {}={}\n", length, key, value);
  }

  void header(const TarMember& member) {
    std::array<char, 512> block{};
    const auto put = [&](std::size_t at, std::size_t size, std::string_view text) {
      std::memcpy(block.data() + at, text.data(), std::min(size, text.size()));
    };
    put(0, 100, member.name);
    put(100, 8, fmt::format("{:07o}", member.mode));
    put(108, 8, fmt::format("{:07o}", member.uid > 07777777 ? 0 : member.uid));
    put(116, 8, fmt::format("{:07o}", member.gid > 07777777 ? 0 : member.gid));
    put(124, 12,
        member.size_field.empty() ? fmt::format("{:011o}", member.content.size())
                                  : member.size_field);
    const bool fits = member.mtime >= 0 && member.mtime <= 077777777777;
    put(136, 12, fmt::format("{:011o}", fits ? member.mtime : 0));
    block[156] = member.type;
    put(157, 100, member.link);
    put(257, 8, std::string_view("ustar\00000", 8));
    put(329, 8, fmt::format("{:07o}", member.device_major));
    put(337, 8, fmt::format("{:07o}", member.device_minor));
    put(148, 8, "        ");
    unsigned sum = 0;
    for (const char c : block) {
      sum += static_cast<unsigned char>(c);
    }
    put(148, 7, fmt::format("{:06o}", sum) + std::string(1, '\0'));
    bytes_.append(block.data(), block.size());
  }

  void body(std::string_view content) {
    bytes_ += content;
    bytes_.append((512 - content.size() % 512) % 512, '\0');
  }

  std::string bytes_;
};

}  // namespace bulkhead::archive
