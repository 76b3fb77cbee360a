# The multiplexer over a real virtio-serial port: a guest whose PID 1 is the guest's half of it.
add_executable(mux-init mux_init.cc)
target_link_libraries(mux-init PRIVATE bulkhead::mux_guest bulkhead_guest_options)
set_target_properties(mux-init PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_custom_command(
  OUTPUT "${PROJECT_BINARY_DIR}/tests/mux-init.cpio"
  COMMAND "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs" $<TARGET_FILE:mux-init>
          "${PROJECT_BINARY_DIR}/tests/mux-init.cpio"
  DEPENDS mux-init "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs"
  VERBATIM)
add_custom_target(mux-init-cpio DEPENDS "${PROJECT_BINARY_DIR}/tests/mux-init.cpio")

add_executable(bulkhead_mux_system_test mux_test.cc)
target_link_libraries(bulkhead_mux_system_test PRIVATE
  bulkhead::mux bulkhead_host_options GTest::gmock GTest::gtest_main)
set_target_properties(bulkhead_mux_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_dependencies(bulkhead_mux_system_test mux-init-cpio)
bulkhead_add_system_test(NAME mux COMMAND bulkhead_mux_system_test TIMEOUT 300)
