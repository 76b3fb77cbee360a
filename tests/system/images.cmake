bulkhead_add_system_test(NAME system_images LABELS system peer TIMEOUT 300
  COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/images_test.sh")
