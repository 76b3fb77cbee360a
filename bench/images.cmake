add_executable(bench_images_floor images_floor.cc)
set_target_properties(bench_images_floor PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench"
                                                    OUTPUT_NAME images_floor)
target_link_libraries(bench_images_floor PRIVATE bulkhead::archive bulkhead::hash bulkhead::os bulkhead_host_options)
