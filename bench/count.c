/* What a guest executes, counted inside of QEMU: a plugin of its emulator (TCG), for bench/start --exact. Not part
 * of the product.
 *
 * A library that QEMU's program is made to need. It puts itself on QEMU's command line as a plugin before main()
 * runs, because nothing else in the jail could; and it leaves its counts in its own memory, where whoever may read
 * /proc/PID/mem finds them under the name `marks`. At the instructions that MARKS names it writes down how far the
 * guest has come by then.
 *
 * -DLIBRARY="/its/path.so" and -DMARKS={address, {first bytes…}}, …
 * Source of the interface: QEMU, "TCG Plugins" (docs/devel/tcg-plugins), version 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kProcessors = 16, kBytes = 8 };

typedef uint64_t PluginId;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

extern void qemu_plugin_register_vcpu_tb_trans_cb(PluginId id, void (*function)(PluginId, struct qemu_plugin_tb*));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb* block, void (*function)(unsigned, void*),
                                                 int registers, void* data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn* instruction,
                                                   void (*function)(unsigned, void*), int registers, void* data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb* block);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb* block, size_t index);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb* block);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn* instruction);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn* instruction);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn* instruction);

/* Two of its own cache line for each processor: no thread writes another's. */
static struct {
  _Alignas(64) uint64_t kernel;
  uint64_t user;
} executed[kProcessors];

static uint64_t blocks;  /* translated */
static uint64_t lengths; /* of them, in instructions */

struct Mark {
  uint64_t address;
  unsigned char bytes[kBytes];
};

static const struct Mark wanted[] = {MARKS};

enum { kMarks = sizeof wanted / sizeof wanted[0] };

/* What the benchmark reads: kernel's and user's instructions, blocks and their instructions; zero until a mark is
 * reached for the first time. */
__attribute__((visibility("default"))) volatile uint64_t marks[kMarks][4];

static void on_block(unsigned processor, void* data) {
  const uintptr_t count = (uintptr_t)data;
  if (count & 1) {
    executed[processor % kProcessors].kernel += count >> 1;
  } else {
    executed[processor % kProcessors].user += count >> 1;
  }
}

static void on_mark(unsigned processor, void* data) {
  (void)processor;
  volatile uint64_t* mark = marks[(uintptr_t)data];
  if (mark[2] != 0) {
    return;
  }
  for (int i = 0; i < kProcessors; ++i) {
    mark[0] += executed[i].kernel;
    mark[1] += executed[i].user;
  }
  mark[3] = __atomic_load_n(&lengths, __ATOMIC_RELAXED);
  mark[2] = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
}

static bool is_at(const struct qemu_plugin_insn* instruction, const struct Mark* mark) {
  const size_t size = qemu_plugin_insn_size(instruction);
  return qemu_plugin_insn_vaddr(instruction) == mark->address &&
         memcmp(qemu_plugin_insn_data(instruction), mark->bytes, size < kBytes ? size : kBytes) == 0;
}

static void on_translation(PluginId id, struct qemu_plugin_tb* block) {
  (void)id;
  const size_t count = qemu_plugin_tb_n_insns(block);
  __atomic_fetch_add(&blocks, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add(&lengths, count, __ATOMIC_RELAXED);
  const uintptr_t is_kernel = qemu_plugin_tb_vaddr(block) >> 63;
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_block, 0, (void*)(count << 1 | is_kernel));
  for (uintptr_t mark = 0; mark < kMarks; ++mark) {
    for (size_t i = 0; i < count; ++i) {
      struct qemu_plugin_insn* instruction = qemu_plugin_tb_get_insn(block, i);
      if (is_at(instruction, &wanted[mark])) {
        qemu_plugin_register_vcpu_insn_exec_cb(instruction, on_mark, 0, (void*)mark);
      }
    }
  }
}

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

__attribute__((visibility("default"))) int qemu_plugin_install(PluginId id, const void* info, int argc, char** argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  return 0;
}

typedef int Main(int, char**, char**);
typedef int StartMain(Main*, int, char**, void (*)(void), void (*)(void), void (*)(void), void*);

/* The C library's: what calls main(). A program asked for its version is left as it is. */
__attribute__((visibility("default"))) int __libc_start_main(Main* function, int argc, char** argv,
                                                             void (*init)(void), void (*fini)(void),
                                                             void (*loader_fini)(void), void* stack_end) {
  StartMain* next = (StartMain*)dlsym(RTLD_NEXT, "__libc_start_main");
  if (argc > 2) {
    char** longer = calloc((size_t)argc + 3, sizeof *longer);
    memcpy(longer, argv, (size_t)argc * sizeof *longer);
    longer[argc++] = "-plugin";
    longer[argc++] = "file=" LIBRARY;
    argv = longer;
  }
  return next(function, argc, argv, init, fini, loader_fini, stack_end);
}
