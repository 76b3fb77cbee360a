bulkhead_add_fuzzer(NAME ext4_import SOURCES ext4_import_fuzzer.cc PRIVATE bulkhead::ext4_export bulkhead::ext4_import)
bulkhead_add_fuzzer(NAME ext4_reader SOURCES ext4_reader_fuzzer.cc PRIVATE bulkhead::ext4_export)
target_compile_definitions(fuzz_ext4_reader PRIVATE BULKHEAD_FUZZ_EXT4_IMAGES="${CMAKE_CURRENT_SOURCE_DIR}/images/ext4")
bulkhead_add_fuzzer(NAME ext4_layer_record SOURCES ext4_layer_record_fuzzer.cc PRIVATE bulkhead::ext4_import)
