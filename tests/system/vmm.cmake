# A guest with a static PID 1 of the tests' own, packed as the kernel wants its initramfs.
add_executable(vmm-init vmm_init.cc)
target_link_libraries(vmm-init PRIVATE bulkhead_guest_options)
set_target_properties(vmm-init PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_custom_command(
  OUTPUT "${PROJECT_BINARY_DIR}/tests/vmm-init.cpio"
  COMMAND "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs" $<TARGET_FILE:vmm-init>
          "${PROJECT_BINARY_DIR}/tests/vmm-init.cpio"
  DEPENDS vmm-init "${PROJECT_SOURCE_DIR}/tests/system/lib/pack-initramfs"
  VERBATIM)
add_custom_target(vmm-init-cpio DEPENDS "${PROJECT_BINARY_DIR}/tests/vmm-init.cpio")

add_executable(bulkhead_vmm_system_test vmm_test.cc)
target_link_libraries(bulkhead_vmm_system_test PRIVATE
  bulkhead::vmm bulkhead_host_options GTest::gmock GTest::gtest_main)
set_target_properties(bulkhead_vmm_system_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
add_dependencies(bulkhead_vmm_system_test vmm-init-cpio bulkhead-jail bulkhead-kvm-probe)
bulkhead_add_system_test(NAME vmm COMMAND bulkhead_vmm_system_test TIMEOUT 600)
