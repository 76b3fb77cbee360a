# bulkhead_add_proto(NAME name PROTOS a/b.proto … [PUBLIC libraries…] [IMPORT_DIR directory] [GUEST])
#   Library bulkhead::<name> of protobuf-lite messages and, for files that declare a service, ttrpc
#   service and client classes ("a/b.pb.h", "a/b.ttrpc.h"). Paths are relative to proto/, or to
#   IMPORT_DIR. GUEST also makes bulkhead::<name>_guest, linked with the _guest forms of PUBLIC.
#   Generated code is compiled without warnings and its headers are system headers.

set(BULKHEAD_PROTO_DIR "${PROJECT_SOURCE_DIR}/proto")
set(BULKHEAD_PROTO_OUTPUT_DIR "${PROJECT_BINARY_DIR}/generated")
file(MAKE_DIRECTORY "${BULKHEAD_PROTO_OUTPUT_DIR}")

# Protobuf's own any.proto and friends.
find_path(BULKHEAD_WKT_DIR google/protobuf/any.proto REQUIRED)

# Everything generated, for tools that read headers without building.
add_custom_target(bulkhead_generated)

function(_bulkhead_proto_library target options output_dir)
  cmake_parse_arguments(PARSE_ARGV 3 L "" "" "FILES;PUBLIC")
  add_library(${target} STATIC ${L_FILES})
  target_compile_options(${target} PRIVATE -w)
  target_compile_features(${target} PUBLIC cxx_std_23)
  target_include_directories(${target} SYSTEM PUBLIC "${output_dir}")
  target_link_libraries(${target} PUBLIC ${L_PUBLIC} deps::protobuf_lite PRIVATE ${options})
endfunction()

function(bulkhead_add_proto)
  cmake_parse_arguments(PARSE_ARGV 0 P "GUEST" "NAME;IMPORT_DIR" "PROTOS;PUBLIC")
  if(P_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "bulkhead_add_proto(${P_NAME}): unknown arguments ${P_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT P_IMPORT_DIR)
    set(P_IMPORT_DIR "${BULKHEAD_PROTO_DIR}")
  endif()
  set(output_dir "${BULKHEAD_PROTO_OUTPUT_DIR}")
  set(files)
  set(has_services OFF)
  foreach(proto IN LISTS P_PROTOS)
    set(source "${P_IMPORT_DIR}/${proto}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${source}")
    string(REGEX REPLACE "\\.proto$" "" stem "${proto}")
    set(outputs "${output_dir}/${stem}.pb.h" "${output_dir}/${stem}.pb.cc")
    set(arguments "--cpp_out=lite:${output_dir}")
    set(dependencies "${source}")
    file(STRINGS "${source}" services REGEX "^service ")
    if(services)
      set(has_services ON)
      list(APPEND outputs "${output_dir}/${stem}.ttrpc.h" "${output_dir}/${stem}.ttrpc.cc")
      list(APPEND arguments
        "--plugin=protoc-gen-ttrpc=$<TARGET_FILE:protoc-gen-ttrpc>" "--ttrpc_out=${output_dir}")
      list(APPEND dependencies protoc-gen-ttrpc)
    endif()
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND protobuf::protoc ${arguments} "-I${P_IMPORT_DIR}" "-I${BULKHEAD_WKT_DIR}" "${proto}"
      DEPENDS ${dependencies}
      COMMENT "protoc ${proto}"
      VERBATIM)
    list(APPEND files ${outputs})
  endforeach()
  add_custom_target(bulkhead_${P_NAME}_generated DEPENDS ${files})
  add_dependencies(bulkhead_generated bulkhead_${P_NAME}_generated)

  set(public ${P_PUBLIC})
  if(has_services)
    list(APPEND public bulkhead::ttrpc)
  endif()
  _bulkhead_proto_library(bulkhead_${P_NAME} bulkhead_host_options "${output_dir}"
    FILES ${files} PUBLIC ${public})
  add_dependencies(bulkhead_${P_NAME} bulkhead_${P_NAME}_generated)
  add_library(bulkhead::${P_NAME} ALIAS bulkhead_${P_NAME})
  if(P_GUEST)
    list(TRANSFORM public REPLACE "^(bulkhead::[a-z0-9_]+)$" "\\1_guest")
    _bulkhead_proto_library(bulkhead_${P_NAME}_guest bulkhead_guest_options "${output_dir}"
      FILES ${files} PUBLIC ${public})
    add_dependencies(bulkhead_${P_NAME}_guest bulkhead_${P_NAME}_generated)
    add_library(bulkhead::${P_NAME}_guest ALIAS bulkhead_${P_NAME}_guest)
  endif()
endfunction()
