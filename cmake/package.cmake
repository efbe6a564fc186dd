# The Debian package, made by cpack. It holds the static program: it needs no other package, and installs on Debian 11 as on sid.
set(package ${PROJECT_SOURCE_DIR}/cmake/package)
set(compressed ${PROJECT_BINARY_DIR}/made/changelog.gz)
configure_file(${package}/changelog ${PROJECT_BINARY_DIR}/made/changelog @ONLY)
execute_process(COMMAND gzip -9nkf ${PROJECT_BINARY_DIR}/made/changelog COMMAND_ERROR_IS_FATAL ANY)

install(PROGRAMS $<TARGET_FILE:memsnap_static> DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${made}/_memsnap DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/zsh/vendor-completions COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${package}/copyright ${compressed} DESTINATION ${docs} COMPONENT package EXCLUDE_FROM_ALL)
install(FILES ${package}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/lintian/overrides RENAME memsnap COMPONENT package
        EXCLUDE_FROM_ALL)

set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # cpack packs what is built; it does not build the tests
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME memsnap)
set(CPACK_PACKAGE_CONTACT "memsnap maintainers <maintainers@memsnap.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "heap snapshots of running CPython processes")
set(CPACK_PACKAGE_DESCRIPTION
    "memsnap tells where the memory of a running Python process is, and who
allocates more of it. It is given a pid, looks from outside by ptrace, and
prints every type with its number, bytes and what it keeps alive, and a tree
of what holds what; then it tracks allocations for some seconds, and leaves
without a trace. Nothing need be installed in the process, and it runs on
after milliseconds.

The program is a single static file. The Python module memsnap, which calls
it on its own process, is for any python3.")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL shared package)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS python3)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${package}/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
