# The preset "static": build/static/memsnap, another link of the objects of the release build, which is made when it is not there.
set(MEMSNAP_OBJECTS_OF ${PROJECT_SOURCE_DIR}/build/release)
set(configured "")
if(EXISTS ${MEMSNAP_OBJECTS_OF}/CMakeCache.txt)
  file(STRINGS ${MEMSNAP_OBJECTS_OF}/CMakeCache.txt configured REGEX "^MEMSNAP_STATIC:[A-Z]+=ON$")
endif()
if(NOT configured)
  execute_process(COMMAND ${CMAKE_COMMAND} --preset release WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} COMMAND_ERROR_IS_FATAL ANY)
endif()
add_custom_target(
  memsnap ALL
  COMMAND ${CMAKE_COMMAND} --build ${MEMSNAP_OBJECTS_OF} --target memsnap_static
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${MEMSNAP_OBJECTS_OF}/static/memsnap ${PROJECT_BINARY_DIR}/memsnap
  USES_TERMINAL VERBATIM)
