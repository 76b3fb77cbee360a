#include "bulkhead/guest/device_rules.h"

#include <linux/bpf.h>
#include <linux/bpf_common.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <span>
#include <vector>

namespace bulkhead::guest {
namespace {

constexpr std::uint32_t kMakeNode = BPF_DEVCG_ACC_MKNOD;
constexpr std::uint32_t kEverything =
    BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

constexpr DeviceRule character(std::uint32_t major, std::optional<std::uint32_t> minor) {
  return {.allow = true,
          .type = DeviceRule::Type::Character,
          .major = major,
          .minor = minor,
          .access = kEverything};
}

constexpr std::array kDefault = {
    DeviceRule{.allow = true, .type = DeviceRule::Type::Character, .access = kMakeNode},
    DeviceRule{.allow = true, .type = DeviceRule::Type::Block, .access = kMakeNode},
    character(1, 3),    // null
    character(1, 5),    // zero
    character(1, 7),    // full
    character(1, 8),    // random
    character(1, 9),    // urandom
    character(5, 0),    // tty
    character(5, 1),    // console
    character(5, 2),    // ptmx
    character(136, {})  // pts/*
};

// Registers. The context's three words are read into them once.
constexpr std::uint8_t kVerdict = BPF_REG_0;
constexpr std::uint8_t kContext = BPF_REG_1;  // and scratch, once the words are read
constexpr std::uint8_t kAccess = BPF_REG_2;
constexpr std::uint8_t kType = BPF_REG_3;
constexpr std::uint8_t kMajor = BPF_REG_4;
constexpr std::uint8_t kMinor = BPF_REG_5;

constexpr int kTypeBits = 16;  // of the word that holds type and, above it, access

bpf_insn instruction(int code, std::uint8_t to, std::uint8_t from, std::size_t offset,
                     std::uint32_t value) {
  bpf_insn made{};
  made.code = static_cast<std::uint8_t>(code);
  made.dst_reg = to & 0xfU;
  made.src_reg = from & 0xfU;
  made.off = static_cast<std::int16_t>(offset);
  made.imm = static_cast<std::int32_t>(value);
  return made;
}

bpf_insn load_word(std::uint8_t to, std::size_t offset) {
  return instruction(BPF_LDX | BPF_W | BPF_MEM, to, kContext, offset, 0);
}

bpf_insn copy(std::uint8_t to, std::uint8_t from) {
  return instruction(BPF_ALU | BPF_MOV | BPF_X, to, from, 0, 0);
}

bpf_insn compute(int operation, std::uint8_t to, std::uint32_t value) {
  return instruction(BPF_ALU | operation | BPF_K, to, 0, 0, value);
}

void answer(std::vector<bpf_insn>& program, bool allow) {
  program.push_back(compute(BPF_MOV, kVerdict, allow ? 1 : 0));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

void add_rule(std::vector<bpf_insn>& program, const DeviceRule& rule) {
  // Jumps over the rest of the rule; how far is known at its end.
  std::vector<std::size_t> jumps;
  const auto pass_unless_equal = [&](std::uint8_t reg, std::uint32_t value) {
    jumps.push_back(program.size());
    program.push_back(instruction(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, value));
  };
  if (rule.type != DeviceRule::Type::All) {
    pass_unless_equal(
        kType, rule.type == DeviceRule::Type::Block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  }
  if (rule.major) {
    pass_unless_equal(kMajor, *rule.major);
  }
  if (rule.minor) {
    pass_unless_equal(kMinor, *rule.minor);
  }
  if (rule.access != kEverything) {
    program.push_back(copy(kContext, kAccess));
    program.push_back(
        compute(BPF_AND, kContext, rule.allow ? kEverything & ~rule.access : rule.access));
    jumps.push_back(program.size());
    program.push_back(
        instruction(BPF_JMP | (rule.allow ? BPF_JNE : BPF_JEQ) | BPF_K, kContext, 0, 0, 0));
  }
  answer(program, rule.allow);
  for (const std::size_t jump : jumps) {
    program[jump].off = static_cast<std::int16_t>(program.size() - jump - 1);
  }
}

}  // namespace

std::span<const DeviceRule> default_device_rules() { return kDefault; }

std::vector<bpf_insn> device_program(std::span<const DeviceRule> rules) {
  std::vector<bpf_insn> program{
      load_word(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      load_word(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load_word(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
      copy(kAccess, kType),
      compute(BPF_RSH, kAccess, kTypeBits),
      compute(BPF_AND, kType, (1U << kTypeBits) - 1),
  };
  for (const DeviceRule& rule : rules | std::views::reverse) {
    add_rule(program, rule);
  }
  answer(program, false);
  return program;
}

}  // namespace bulkhead::guest
