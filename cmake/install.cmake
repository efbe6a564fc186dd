# What is installed: the program, its manual page and completions, and the Python module that calls it: one copy for all interpreters,
# where Debian's look for modules under /usr. Components: "shared" is in every installation, "local" only in that of cmake --install,
# "package" only in the Debian package.
include(GNUInstallDirs)
set(MEMSNAP_PYTHON_DIR lib/python3/dist-packages CACHE STRING "where the Python module is installed, below the prefix")
set(docs ${CMAKE_INSTALL_DATAROOTDIR}/doc/memsnap)

# Made by the program itself, from the description of its options.
set(made ${PROJECT_BINARY_DIR}/made)
file(MAKE_DIRECTORY ${made})
set(made_files "")
function(memsnap_made_text file)
  cmake_parse_arguments(PARSE_ARGV 1 made "COMPRESS" "" "ARGUMENTS")
  string(REGEX REPLACE "\\.gz$" "" plain ${file})
  add_custom_command(
    OUTPUT ${made}/${file}
    COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:memsnap> "-D ARGUMENTS=${made_ARGUMENTS}" -D OUTPUT=${made}/${plain} -D COMPRESS=${made_COMPRESS}
            -P ${PROJECT_SOURCE_DIR}/cmake/made_text.cmake
    DEPENDS memsnap ${PROJECT_SOURCE_DIR}/cmake/made_text.cmake
    VERBATIM)
  set(made_files ${made_files} ${made}/${file} PARENT_SCOPE)
endfunction()
memsnap_made_text(memsnap.1.gz COMPRESS ARGUMENTS help --man)
memsnap_made_text(memsnap.bash ARGUMENTS help --completion bash)
memsnap_made_text(_memsnap ARGUMENTS help --completion zsh)
memsnap_made_text(memsnap.fish ARGUMENTS help --completion fish)
add_custom_target(memsnap_made ALL DEPENDS ${made_files})

install(FILES ${made}/memsnap.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT shared)
install(FILES ${made}/memsnap.bash DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/bash-completion/completions RENAME memsnap COMPONENT shared)
install(FILES ${made}/memsnap.fish DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/fish/vendor_completions.d COMPONENT shared)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/python/memsnap DESTINATION ${MEMSNAP_PYTHON_DIR} COMPONENT shared
        FILES_MATCHING PATTERN "*.py" PATTERN "__pycache__" EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${docs} COMPONENT shared)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${docs} COMPONENT shared FILES_MATCHING PATTERN "*.md" PATTERN "*.svg")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/scripts/recipes/ DESTINATION ${docs}/examples COMPONENT shared)

install(TARGETS memsnap RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT local)
install(FILES ${made}/_memsnap DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/zsh/site-functions COMPONENT local)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${docs} COMPONENT local)

if(TARGET memsnap_static)
  include(cmake/package.cmake)
endif()
