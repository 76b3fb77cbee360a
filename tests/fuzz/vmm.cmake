bulkhead_add_fuzzer(NAME qmp SOURCES qmp_fuzzer.cc PRIVATE bulkhead::vmm)
