bulkhead_add_fuzzer(NAME log_line SOURCES log_line_fuzzer.cc PRIVATE bulkhead::runtime)
