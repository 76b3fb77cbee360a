bulkhead_add_fuzzer(NAME archive_inflate SOURCES archive_inflate_fuzzer.cc PRIVATE bulkhead::archive)
bulkhead_add_fuzzer(NAME archive_tar SOURCES archive_tar_fuzzer.cc PRIVATE bulkhead::archive)
