# cmake -D PROGRAM=... -D ARGUMENTS=A;B -D OUTPUT=... [-D COMPRESS=ON] -P made_text.cmake: a file of what a program prints.
execute_process(COMMAND ${PROGRAM} ${ARGUMENTS} OUTPUT_FILE ${OUTPUT} COMMAND_ERROR_IS_FATAL ANY)
if(COMPRESS)
  execute_process(COMMAND gzip -9nf ${OUTPUT} COMMAND_ERROR_IS_FATAL ANY)
endif()
