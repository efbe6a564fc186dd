/* An extension whose types misbehave in tp_traverse, once arm() was called: what a walk of the heap must survive. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <structmember.h>
#include <sys/mman.h>
#include <unistd.h>

enum Deed { GOOD, LOCK, SHARE, CLOSE, LOOP, ABORT, OVERFLOW_STACK, WILD, DEEDS };

static volatile int armed;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static volatile long* shared;
static int pipe_ends[2];

typedef struct {
  PyObject_HEAD
  PyObject* payload;
} Bad;

static int recurse(volatile char* above) {
  volatile char frame[4096];
  frame[0] = above[0];
  return recurse(frame) + frame[0];
}

static void misbehave(enum Deed deed) {
  char start = 1;
  switch (deed) {
    case LOCK: pthread_mutex_lock(&held); break;
    case SHARE: ++*shared; break;
    case CLOSE: close(pipe_ends[0]); close(pipe_ends[1]); break;
    case LOOP: for (;;) __asm__ volatile("");
    case ABORT: abort();
    case OVERFLOW_STACK: recurse(&start); break;
    case WILD: *(volatile long*)0xdead0000dead0000 = 1; break;
    default: break;
  }
}

#define TRAVERSE(name, deed)                                              \
  static int traverse_##name(PyObject* self, visitproc visit, void* arg) { \
    if (armed) misbehave(deed);                                           \
    Py_VISIT(((Bad*)self)->payload);                                      \
    return 0;                                                             \
  }
TRAVERSE(Good, GOOD)
TRAVERSE(Locker, LOCK)
TRAVERSE(SharedWriter, SHARE)
TRAVERSE(Closer, CLOSE)
TRAVERSE(Looper, LOOP)
TRAVERSE(Aborter, ABORT)
TRAVERSE(Overflower, OVERFLOW_STACK)
TRAVERSE(Wild, WILD)

static int clear_payload(PyObject* self) {
  Py_CLEAR(((Bad*)self)->payload);
  return 0;
}

static void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  clear_payload(self);
  Py_TYPE(self)->tp_free(self);
}

static int init(PyObject* self, PyObject* arguments, PyObject* named) {
  PyObject* payload;
  (void)named;
  if (!PyArg_ParseTuple(arguments, "O", &payload)) return -1;
  Py_INCREF(payload);
  ((Bad*)self)->payload = payload;
  return 0;
}

static PyMemberDef members[] = {{"payload", T_OBJECT, offsetof(Bad, payload), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};

#define TYPE(name)                                                                             \
  {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "badext." #name, .tp_basicsize = sizeof(Bad),     \
   .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, .tp_traverse = traverse_##name,       \
   .tp_clear = clear_payload, .tp_dealloc = dealloc, .tp_init = init, .tp_members = members,  \
   .tp_new = PyType_GenericNew, .tp_alloc = PyType_GenericAlloc, .tp_free = PyObject_GC_Del}
static PyTypeObject bad_types[DEEDS] = {TYPE(Good),   TYPE(Locker),  TYPE(SharedWriter), TYPE(Closer),
                                    TYPE(Looper), TYPE(Aborter), TYPE(Overflower),   TYPE(Wild)};

static PyObject* arm(PyObject* module, PyObject* unused) {
  (void)module, (void)unused;
  pthread_mutex_lock(&held);
  armed = 1;
  Py_RETURN_NONE;
}

/* What the target can tell afterwards: (shared counter, is the pipe whole, is the lock still held). Disarms. */
static PyObject* state(PyObject* module, PyObject* unused) {
  char byte = 'x';
  int whole = write(pipe_ends[1], &byte, 1) == 1 && read(pipe_ends[0], &byte, 1) == 1;
  int locked = pthread_mutex_trylock(&held) != 0;
  (void)module, (void)unused;
  armed = 0;
  return Py_BuildValue("lii", *shared, whole, locked);
}

static PyMethodDef methods[] = {
    {"arm", arm, METH_NOARGS, NULL}, {"state", state, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "badext", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_badext(void) {
  PyObject* module = PyModule_Create(&definition);
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (module == NULL || shared == MAP_FAILED || pipe(pipe_ends) != 0) return NULL;
  for (int deed = 0; deed < DEEDS; ++deed) {
    if (PyType_Ready(&bad_types[deed]) < 0) return NULL;
    Py_INCREF(&bad_types[deed]);
    PyModule_AddObject(module, strchr(bad_types[deed].tp_name, '.') + 1, (PyObject*)&bad_types[deed]);
  }
  return module;
}
