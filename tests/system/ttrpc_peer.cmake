add_executable(bulkhead_ttrpc_peer_test ttrpc_peer_test.cc)
target_link_libraries(bulkhead_ttrpc_peer_test PRIVATE
  bulkhead::ttrpc bulkhead::task_proto bulkhead::ttrpc_proto bulkhead_host_options GTest::gmock GTest::gtest_main)
set_target_properties(bulkhead_ttrpc_peer_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
bulkhead_add_system_test(NAME ttrpc_peer COMMAND bulkhead_ttrpc_peer_test LABELS peer TIMEOUT 120)
