# The interpreters the live tests run on, found when cmake is run: MEMSNAP_PYTHON_LINES holds lines "NAME VERSION COMMAND...".
set(MEMSNAP_PYTHON_LINES "")
set(lister ${PROJECT_SOURCE_DIR}/scripts/pythons)
if(EXISTS ${lister})
  execute_process(COMMAND ${lister} --list OUTPUT_VARIABLE listed RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "scripts/pythons --list failed: ${failed}")
  endif()
  string(REGEX MATCHALL "[^\n]+" MEMSNAP_PYTHON_LINES "${listed}")
else()
  file(GLOB found $ENV{HOME}/.pyenv/versions/3.*/bin/python3)
  foreach(python IN ITEMS ${found} /usr/bin/python3)
    execute_process(COMMAND ${python} -I -c "import platform; print(platform.python_version())"
                    OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed AND version VERSION_GREATER_EQUAL 3.8)
      string(FIND ${python} /.pyenv/ in_pyenv)
      if(in_pyenv GREATER_EQUAL 0)
        list(APPEND MEMSNAP_PYTHON_LINES "pyenv-${version} ${version} ${python}")
      else()
        list(APPEND MEMSNAP_PYTHON_LINES "system-${version} ${version} ${python}")
      endif()
    endif()
  endforeach()
endif()

# What the project promises to be tried on, as prefixes of names. One that is not on this machine becomes a skipped test.
set(MEMSNAP_PYTHONS_WANTED
    pyenv-3.8 pyenv-3.9 pyenv-3.10 pyenv-3.11 pyenv-3.12 pyenv-3.13 system-3 bullseye-3.9 trixie-3.13 sid-3.13 sid-3.14 sid-3.15)

list(JOIN MEMSNAP_PYTHON_LINES "\n" text)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/pythons.txt CONTENT "${text}\n")
