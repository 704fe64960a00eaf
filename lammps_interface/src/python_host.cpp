#include "python_host.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

namespace {

fusepot_table registered;
bool attached = false;

const char *const use_launcher =
    " Run the deck with `python -m fusepot.lmp -in DECK` instead: it needs no shared Python library.";

template <typename Function> Function symbol(const char *name)
{
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

/* First line that a command prints; empty if it fails. */
std::string first_line(const std::string &command)
{
  std::string line;
  if (FILE *pipe = popen(command.c_str(), "r")) {
    std::array<char, 4096> buffer{};
    if (fgets(buffer.data(), buffer.size(), pipe)) line = buffer.data();
    if (pclose(pipe) != 0) line.clear();
  }
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return line;
}

std::string environment(const char *name)
{
  const char *value = getenv(name);
  return value ? value : "";
}

/* The interpreter to embed: as told by the Python wrapper that started lmp, else the active environment's. */
std::string find_executable()
{
  std::string executable = environment("FUSEPOT_PYTHON");
  if (executable.empty() && !environment("VIRTUAL_ENV").empty())
    executable = environment("VIRTUAL_ENV") + "/bin/python3";
  if (executable.empty() && !environment("CONDA_PREFIX").empty())
    executable = environment("CONDA_PREFIX") + "/bin/python3";
  return executable.empty() ? first_line("command -v python3") : executable;
}

std::string find_library(const std::string &executable)
{
  std::string library = environment("FUSEPOT_LIBPYTHON");
  if (!library.empty()) return library;
  return first_line("\"" + executable +
                    "\" -c \"import sysconfig as s; v = s.get_config_var;"
                    " print(v('LIBDIR') + '/' + v('INSTSONAME'))\" 2>/dev/null");
}

std::string start_interpreter()
{
  static std::string executable = find_executable();    // Python keeps a pointer into the wide copy below
  if (executable.empty())
    return "no Python interpreter found; activate the environment that fusepot is installed in.";
  const std::string library = find_library(executable);
  if (library.empty() || !dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL))
    return "this Python (" + executable + ") has no shared library to embed (" +
        (library.empty() ? "none configured" : library) + ")." + use_launcher;
  auto set_program = symbol<void (*)(const wchar_t *)>("Py_SetProgramName");
  auto decode = symbol<wchar_t *(*) (const char *, size_t *)>("Py_DecodeLocale");
  auto initialize = symbol<void (*)(int)>("Py_InitializeEx");
  auto release = symbol<void *(*) ()>("PyEval_SaveThread");
  if (!set_program || !decode || !initialize || !release)
    return "Python of " + executable + " cannot be embedded by this version of fusepot." + use_launcher;
  set_program(decode(executable.c_str(), nullptr));    // pyvenv.cfg is found from the program's name
  initialize(0);                                       // 0: LAMMPS keeps its signal handlers
  release();                                           // let PyGILState_Ensure work from any thread
  return "";
}

}    // namespace

namespace fusepot {

const fusepot_table *table()
{
  return attached ? &registered : nullptr;
}

std::string ensure_attached()
{
  if (attached) return "";
  auto running = symbol<int (*)()>("Py_IsInitialized");
  if (!running || !running()) {
    const std::string problem = start_interpreter();
    if (!problem.empty()) return problem;
  }
  Dl_info self;
  if (!dladdr(reinterpret_cast<void *>(&fusepot_register), &self)) return "cannot locate the plugin's own file.";
  auto ensure = symbol<int (*)()>("PyGILState_Ensure");
  auto release = symbol<void (*)(int)>("PyGILState_Release");
  auto run = symbol<int (*)(const char *, void *)>("PyRun_SimpleStringFlags");
  const std::string code = std::string("from fusepot.serving import bridge\nbridge.attach(r'''") + self.dli_fname + "''')\n";
  const int state = ensure();
  const int failed = run(code.c_str(), nullptr);    // prints the traceback
  release(state);
  if (failed || !attached)
    return "Python could not load fusepot (traceback above). Is fusepot installed in the environment of " +
        find_executable() + "?";
  return "";
}

}    // namespace fusepot

int fusepot_register(const fusepot_table *table)
{
  attached = false;
  if (!table) return 0;
  if (table->version != FUSEPOT_BORDER_VERSION) return 1;
  registered = *table;
  attached = true;
  return 0;
}

int fusepot_built_for(void)
{
  return FUSEPOT_LAMMPS_VERSION;
}

double fusepot_time_calls(int32_t handle, int32_t n)
{
  char message[256];
  const auto start = std::chrono::steady_clock::now();
  for (int32_t call = 0; call < n; ++call)
    if (!attached || registered.compute(handle, 1, 0, 0, message, sizeof(message))) return -1.0;
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
