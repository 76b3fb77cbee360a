bulkhead_add_fuzzer(NAME json SOURCES json_fuzzer.cc PRIVATE bulkhead::json)
