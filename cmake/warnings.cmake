# Every target of ours links this: warnings are errors, and the includes are written from the root.
add_library(memsnap_options INTERFACE)
target_include_directories(memsnap_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(memsnap_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror
                                                 -fno-omit-frame-pointer -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(MEMSNAP_SANITIZE)
  target_compile_options(memsnap_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  target_link_options(memsnap_options INTERFACE -fsanitize=address,undefined)
endif()
if(MEMSNAP_FUZZ)
  target_compile_options(memsnap_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

# One target a folder: every .cpp in it, linked with the folders it may include.
function(memsnap_library name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC memsnap_options ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE memsnap_options ${ARGN})
  endif()
endfunction()
