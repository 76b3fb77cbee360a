#include "bulkhead/jail/spec_codec.h"

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bulkhead/base/bytes.h"
#include "bulkhead/base/error.h"
#include "bulkhead/base/result.h"
#include "bulkhead/jail/jail.h"

namespace bulkhead::jail {
namespace {

constexpr std::string_view kMagic = "bhjail2\n";
/// Of arguments, binds and so on: far more than any jail has.
constexpr std::uint64_t kMostItems = 4096;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void number(std::uint64_t value) { out_ += as_text(object_bytes(le64(value))); }

  void text(std::string_view text) {
    out_ += as_text(object_bytes(le32(static_cast<std::uint32_t>(text.size()))));
    out_ += text;
  }

  void texts(const std::vector<std::string>& all) {
    number(all.size());
    for (const std::string& one : all) {
      text(one);
    }
  }

 private:
  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in), size_(in.size()) {}

  Result<std::string_view> take(std::size_t count) {
    if (in_.size() < count) {
      return fail(ErrorCode::Corrupt, "jail spec: ends at byte {}", size_);
    }
    const std::string_view taken = in_.substr(0, count);
    in_.remove_prefix(count);
    return taken;
  }

  template <class T>
  Result<T> object() {
    T value;
    const std::string_view bytes = BH_TRY(take(sizeof value));
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

  Result<std::uint64_t> number() { return std::uint64_t{BH_TRY(object<le64>())}; }

  Result<std::uint64_t> count() {
    const std::uint64_t count = BH_TRY(number());
    if (count > kMostItems) {
      return fail(ErrorCode::Corrupt, "jail spec: {} items at byte {}", count, size_ - in_.size());
    }
    return count;
  }

  Result<std::string> text() {
    const std::uint32_t length = BH_TRY(object<le32>());
    return std::string(BH_TRY(take(length)));
  }

  Result<std::vector<std::string>> texts() {
    std::vector<std::string> all;
    for (std::uint64_t left = BH_TRY(count()); left > 0; --left) {
      all.push_back(BH_TRY(text()));
    }
    return all;
  }

  [[nodiscard]] bool at_end() const { return in_.empty(); }

 private:
  std::string_view in_;
  std::size_t size_;
};

Result<Limits> read_limits(Reader& reader) {
  Limits limits;
  limits.open_files = BH_TRY(reader.number());
  limits.processes = BH_TRY(reader.number());
  limits.file_size_bytes = BH_TRY(reader.number());
  limits.address_space_bytes = BH_TRY(reader.number());
  return limits;
}

}  // namespace

std::string encode_spec(const JailSpec& spec) {
  std::string out(kMagic);
  Writer writer(out);
  writer.number(spec.host_id);
  writer.number(spec.limits.open_files);
  writer.number(spec.limits.processes);
  writer.number(spec.limits.file_size_bytes);
  writer.number(spec.limits.address_space_bytes);
  writer.texts(spec.arguments);
  writer.texts(spec.environment);
  writer.number(spec.binds.size());
  for (const Bind& bind : spec.binds) {
    writer.text(bind.source);
    writer.text(bind.target);
    writer.number(bind.is_executable ? 1 : 0);
  }
  writer.number(spec.shares.size());
  for (const Share& share : spec.shares) {
    writer.text(share.source);
    writer.text(share.target);
    writer.number(share.is_read_only ? 1 : 0);
    writer.number(share.is_recursive ? 1 : 0);
  }
  writer.texts(spec.directories);
  writer.number(spec.devices.size());
  for (const DeviceNode& node : spec.devices) {
    writer.text(node.target);
    writer.number(node.device);
  }
  return out;
}

Result<JailSpec> decode_spec(std::string_view encoded) {
  Reader reader(encoded);
  if (BH_TRY(reader.take(kMagic.size())) != kMagic) {
    return fail(ErrorCode::Corrupt, "jail spec: not one");
  }
  JailSpec spec;
  spec.host_id = static_cast<uid_t>(BH_TRY(reader.number()));
  spec.limits = BH_TRY(read_limits(reader));
  spec.arguments = BH_TRY(reader.texts());
  spec.environment = BH_TRY(reader.texts());
  for (std::uint64_t left = BH_TRY(reader.count()); left > 0; --left) {
    Bind bind;
    bind.source = BH_TRY(reader.text());
    bind.target = BH_TRY(reader.text());
    bind.is_executable = BH_TRY(reader.number()) != 0;
    spec.binds.push_back(std::move(bind));
  }
  for (std::uint64_t left = BH_TRY(reader.count()); left > 0; --left) {
    Share share;
    share.source = BH_TRY(reader.text());
    share.target = BH_TRY(reader.text());
    share.is_read_only = BH_TRY(reader.number()) != 0;
    share.is_recursive = BH_TRY(reader.number()) != 0;
    spec.shares.push_back(std::move(share));
  }
  spec.directories = BH_TRY(reader.texts());
  for (std::uint64_t left = BH_TRY(reader.count()); left > 0; --left) {
    DeviceNode node{};
    node.target = BH_TRY(reader.text());
    node.device = BH_TRY(reader.number());
    spec.devices.push_back(std::move(node));
  }
  if (!reader.at_end()) {
    return fail(ErrorCode::Corrupt, "jail spec: data after its end");
  }
  return spec;
}

ReportRecord pid_record(pid_t pid) {
  ReportRecord record{};
  record.kind = ReportRecord::kPid;
  record.pid = static_cast<std::uint32_t>(pid);
  return record;
}

ReportRecord error_record(const Error& error) {
  ReportRecord record{};
  record.kind = ReportRecord::kError;
  record.error_code = static_cast<std::uint32_t>(error.code());
  const std::string_view message = error.message();
  std::ranges::copy(message.substr(0, record.message.size()), record.message.begin());
  return record;
}

Error record_error(const ReportRecord& record) {
  const auto end = std::ranges::find(record.message, '\0');
  std::string message(record.message.begin(), end);
  const std::uint32_t code = record.error_code;
  const bool is_known = code <= static_cast<std::uint32_t>(ErrorCode::Internal);
  return {is_known ? static_cast<ErrorCode>(code) : ErrorCode::Internal, std::move(message)};
}

}  // namespace bulkhead::jail
