bulkhead_add_fuzzer(NAME mux_session SOURCES mux_session_fuzzer.cc PRIVATE bulkhead::mux)
