# Third-party libraries, each behind one imported target. A missing one names the Debian package.
find_package(PkgConfig REQUIRED)

function(bulkhead_pkg target module package)
  string(MAKE_C_IDENTIFIER "BH_${module}" prefix)
  pkg_check_modules(${prefix} QUIET IMPORTED_TARGET ${module})
  if(NOT ${prefix}_FOUND)
    message(FATAL_ERROR "${module} is missing: apt-get install ${package}")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_link_libraries(${target} INTERFACE PkgConfig::${prefix})
  target_include_directories(${target} SYSTEM INTERFACE ${${prefix}_INCLUDE_DIRS})
endfunction()

bulkhead_pkg(deps::curl libcurl libcurl4-openssl-dev)
bulkhead_pkg(deps::crypto libcrypto libssl-dev)
bulkhead_pkg(deps::archive libarchive libarchive-dev)
bulkhead_pkg(deps::isal libisal libisal-dev)
bulkhead_pkg(deps::zlib zlib zlib1g-dev)
bulkhead_pkg(deps::zstd libzstd libzstd-dev)
bulkhead_pkg(deps::lzma liblzma liblzma-dev)
bulkhead_pkg(deps::sqlite sqlite3 libsqlite3-dev)
bulkhead_pkg(deps::seccomp libseccomp libseccomp-dev)

find_package(BZip2 REQUIRED)
add_library(deps::bzip2 ALIAS BZip2::BZip2)

find_path(BULKHEAD_TOMLPP_DIR toml++/toml.h REQUIRED)
add_library(deps::tomlplusplus INTERFACE IMPORTED GLOBAL)
target_include_directories(deps::tomlplusplus SYSTEM INTERFACE ${BULKHEAD_TOMLPP_DIR})

find_path(BULKHEAD_CLI11_DIR CLI/CLI.hpp REQUIRED)
add_library(deps::cli11 INTERFACE IMPORTED GLOBAL)
target_include_directories(deps::cli11 SYSTEM INTERFACE ${BULKHEAD_CLI11_DIR})

find_path(BULKHEAD_BOOST_JSON_DIR boost/json.hpp REQUIRED)
find_library(BULKHEAD_BOOST_JSON_LIBRARY boost_json REQUIRED)
add_library(deps::boost_json INTERFACE IMPORTED GLOBAL)
target_include_directories(deps::boost_json SYSTEM INTERFACE ${BULKHEAD_BOOST_JSON_DIR})
target_link_libraries(deps::boost_json INTERFACE ${BULKHEAD_BOOST_JSON_LIBRARY})

find_package(Protobuf REQUIRED)
find_library(BULKHEAD_PROTOBUF_LITE_STATIC libprotobuf-lite.a REQUIRED)
find_package(Threads REQUIRED)
add_library(deps::protobuf_lite INTERFACE IMPORTED GLOBAL)
target_include_directories(deps::protobuf_lite SYSTEM INTERFACE ${Protobuf_INCLUDE_DIRS})
# Static: the start path loads no shared protobuf (0.7 ms a process).
target_link_libraries(deps::protobuf_lite INTERFACE ${BULKHEAD_PROTOBUF_LITE_STATIC} Threads::Threads)

# Debian ships no static fmt: one file of ours compiles it, for the host and for the guest.
find_path(BULKHEAD_FMT_DIR fmt/format-inl.h REQUIRED)

if(BULKHEAD_TESTS)
  find_package(GTest REQUIRED)
endif()
