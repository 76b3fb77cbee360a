# bulkhead_add_module(NAME name SOURCES … [HEADERS …] [TESTS …] [PUBLIC …] [PRIVATE …] [GUEST])
#   One static library per module: target bulkhead_<name>, alias bulkhead::<name>, unit tests in
#   bulkhead_<name>_test. GUEST also makes bulkhead::<name>_guest, the same sources compiled small and
#   without sanitizers for the static guest program; it links the _guest form of its own dependencies.
# bulkhead_add_program(NAME name SOURCES … PRIVATE … [LIBEXEC] [STATIC])
# bulkhead_add_fuzzer(NAME name SOURCES … PRIVATE …)
#   A libFuzzer target under the fuzz preset; elsewhere a program that replays tests/fuzz/corpus/<name>
#   and is a unit test.

add_library(bulkhead_options INTERFACE)
target_compile_features(bulkhead_options INTERFACE cxx_std_23)
target_compile_options(bulkhead_options INTERFACE
  -Wall -Wextra -Wpedantic
  # options structs are initialised in part, by name
  -Wno-missing-field-initializers
  -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  $<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast>
  $<$<BOOL:${BULKHEAD_WERROR}>:-Werror>
  # GCC 12 sees overlapping copies in std::string where there are none (GCC bug 105651)
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # BH_TRY is a statement expression
  $<$<CXX_COMPILER_ID:Clang>:-Wno-gnu-statement-expression>
  # libstdc++ 12's stable_sort calls what libstdc++ 12 deprecates
  $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-deprecated-declarations>)
target_compile_definitions(bulkhead_options INTERFACE _GLIBCXX_ASSERTIONS _FILE_OFFSET_BITS=64 _GNU_SOURCE)
target_include_directories(bulkhead_options INTERFACE "${PROJECT_SOURCE_DIR}/src")

# What only host code gets: sanitizers, hardening.
add_library(bulkhead_host_options INTERFACE)
target_link_libraries(bulkhead_host_options INTERFACE bulkhead_options)
if(BULKHEAD_SANITIZE)
  target_compile_options(bulkhead_host_options INTERFACE
    -fsanitize=${BULKHEAD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(bulkhead_host_options INTERFACE -fsanitize=${BULKHEAD_SANITIZE})
endif()
if(BULKHEAD_FUZZ)
  # Coverage for libFuzzer, in every library.
  target_compile_options(bulkhead_host_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(BULKHEAD_HARDEN)
  target_compile_options(bulkhead_host_options INTERFACE
    -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -fcf-protection)
  target_link_options(bulkhead_host_options INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()

# Guest code is static and small; it is never sanitized (it runs as PID 1 of a virtual machine).
add_library(bulkhead_guest_options INTERFACE)
target_link_libraries(bulkhead_guest_options INTERFACE bulkhead_options)
target_compile_options(bulkhead_guest_options INTERFACE
  -Os -g0 -ffunction-sections -fdata-sections -fno-pie -fno-plt -fstack-protector-strong)
target_compile_definitions(bulkhead_guest_options INTERFACE FMT_STATIC_THOUSANDS_SEPARATOR BULKHEAD_GUEST=1)
target_link_options(bulkhead_guest_options INTERFACE -static -no-pie -Wl,--gc-sections -Wl,-s)

function(_bulkhead_module_library target options)
  cmake_parse_arguments(PARSE_ARGV 2 M "" "" "SOURCES;HEADERS;PUBLIC;PRIVATE")
  add_library(${target} STATIC ${M_SOURCES})
  if(M_HEADERS)
    target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/src" FILES ${M_HEADERS})
  endif()
  set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  target_link_libraries(${target} PUBLIC ${M_PUBLIC} PRIVATE ${M_PRIVATE} ${options})
  # Headers need the include root and the language level, not the flags.
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_compile_features(${target} PUBLIC cxx_std_23)
endfunction()

# All that unit tests run: what a sanitizer's build needs.
add_custom_target(bulkhead_unit_tests)

function(bulkhead_add_module)
  cmake_parse_arguments(PARSE_ARGV 0 M "GUEST" "NAME" "SOURCES;HEADERS;TESTS;PUBLIC;PRIVATE;TEST_PRIVATE")
  if(M_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "bulkhead_add_module(${M_NAME}): unknown arguments ${M_UNPARSED_ARGUMENTS}")
  endif()
  _bulkhead_module_library(bulkhead_${M_NAME} bulkhead_host_options
    SOURCES ${M_SOURCES} HEADERS ${M_HEADERS} PUBLIC ${M_PUBLIC} PRIVATE ${M_PRIVATE})
  add_library(bulkhead::${M_NAME} ALIAS bulkhead_${M_NAME})
  if(M_GUEST)
    set(public ${M_PUBLIC})
    set(private ${M_PRIVATE})
    list(TRANSFORM public REPLACE "^(bulkhead::[a-z0-9_]+)$" "\\1_guest")
    list(TRANSFORM private REPLACE "^(bulkhead::[a-z0-9_]+)$" "\\1_guest")
    _bulkhead_module_library(bulkhead_${M_NAME}_guest bulkhead_guest_options
      SOURCES ${M_SOURCES} PUBLIC ${public} PRIVATE ${private})
    # clang-tidy and clangd read each source once, as the host compiles it.
    set_target_properties(bulkhead_${M_NAME}_guest PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
    add_library(bulkhead::${M_NAME}_guest ALIAS bulkhead_${M_NAME}_guest)
  endif()
  if(BULKHEAD_TESTS AND M_TESTS)
    add_executable(bulkhead_${M_NAME}_test ${M_TESTS})
    set_target_properties(bulkhead_${M_NAME}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
    target_link_libraries(bulkhead_${M_NAME}_test PRIVATE
      bulkhead_${M_NAME} ${M_TEST_PRIVATE} bulkhead_host_options GTest::gmock GTest::gtest_main)
    add_dependencies(bulkhead_unit_tests bulkhead_${M_NAME}_test)
    gtest_discover_tests(bulkhead_${M_NAME}_test DISCOVERY_MODE PRE_TEST
      PROPERTIES LABELS unit TIMEOUT 120)
  endif()
endfunction()

# All that users run; the guest's initramfs too.
add_custom_target(bulkhead_programs)

function(bulkhead_add_program)
  cmake_parse_arguments(PARSE_ARGV 0 P "LIBEXEC;STATIC" "NAME" "SOURCES;PRIVATE")
  add_executable(${P_NAME} ${P_SOURCES})
  target_link_libraries(${P_NAME} PRIVATE ${P_PRIVATE} bulkhead_host_options)
  if(P_LIBEXEC)
    set_target_properties(${P_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${BULKHEAD_LIBEXEC_DIR}")
  endif()
  if(P_STATIC AND NOT BULKHEAD_SANITIZE)
    target_link_options(${P_NAME} PRIVATE -static)
  endif()
  add_dependencies(bulkhead_programs ${P_NAME})
endfunction()

add_custom_target(bulkhead_fuzzers)
if(NOT BULKHEAD_FUZZ)
  add_library(bulkhead_fuzz_replay OBJECT "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.cc")
  target_link_libraries(bulkhead_fuzz_replay PRIVATE bulkhead_host_options)
endif()

function(bulkhead_add_fuzzer)
  cmake_parse_arguments(PARSE_ARGV 0 F "" "NAME" "SOURCES;PRIVATE")
  set(target fuzz_${F_NAME})
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${F_NAME}")
  if(BULKHEAD_FUZZ)
    add_executable(${target} ${F_SOURCES})
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${target} ${F_SOURCES})
    target_link_libraries(${target} PRIVATE bulkhead_fuzz_replay)
    if(BULKHEAD_TESTS AND EXISTS "${corpus}")
      add_test(NAME fuzz_corpus_${F_NAME} COMMAND ${target} "${corpus}")
      set_tests_properties(fuzz_corpus_${F_NAME} PROPERTIES LABELS unit TIMEOUT 120)
      add_dependencies(bulkhead_unit_tests ${target})
    endif()
  endif()
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
  add_dependencies(bulkhead_fuzzers ${target})
  target_link_libraries(${target} PRIVATE ${F_PRIVATE} bulkhead_host_options)
endfunction()
