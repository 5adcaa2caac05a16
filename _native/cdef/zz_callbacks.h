/* Functions in Python that C calls: for cffi alone, no C file sees this one. */
extern "Python" int ck_call_python(void *handle);
