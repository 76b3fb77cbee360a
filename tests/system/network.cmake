add_executable(network_system_test
  "${CMAKE_CURRENT_SOURCE_DIR}/network_test.cc" "${CMAKE_CURRENT_SOURCE_DIR}/network_traffic_test.cc")
target_link_libraries(network_system_test PRIVATE
  bulkhead::network bulkhead::db bulkhead::json bulkhead_host_options GTest::gmock GTest::gtest_main)
target_include_directories(network_system_test PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
set_target_properties(network_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
bulkhead_add_system_test(NAME network COMMAND network_system_test TIMEOUT 120)
