bulkhead_add_fuzzer(NAME ttrpc_server SOURCES ttrpc_server_fuzzer.cc PRIVATE bulkhead::ttrpc bulkhead::ttrpc_test_proto)
bulkhead_add_fuzzer(NAME ttrpc_client SOURCES ttrpc_client_fuzzer.cc PRIVATE bulkhead::ttrpc)
