#include "nep_model.h"

#include "block.h"
#include "variants.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

namespace fusepot {

bool find_variant(const std::string &name, Variant &variant)
{
#ifdef FUSEPOT_X86
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
#else
  const bool has_avx2 = false, has_avx512 = false;
#endif
  if (has_avx512 && (name.empty() || name == "avx512"))
    variant = Variant::avx512;
  else if (has_avx2 && (name.empty() || name == "avx2"))
    variant = Variant::avx2;
  else if (name.empty() || name == "default")
    variant = Variant::portable;
  else
    return false;
  return true;
}

template <typename Real>
NepModel<Real>::NepModel(const fusepot_nep_shape &shape, const NepArrays<Real> &arrays, Variant variant) : variant(variant)
{
  const int S = shape.species, H = shape.neurons;
  const int sets = shape.l_max + (shape.four_body != 0) + (shape.five_body != 0);
  const int D = shape.radial + sets * shape.angular;
  const std::size_t radial = static_cast<std::size_t>(S) * S * shape.radial * shape.radial_basis;
  const std::size_t angular = static_cast<std::size_t>(S) * S * shape.angular * shape.angular_basis;
  storage.reserve(radial + angular + static_cast<std::size_t>(S) * H * (D + 2) + S);
  const auto copy = [this](auto *from, std::size_t count) {
    const std::size_t start = storage.size();
    storage.insert(storage.end(), from, from + count);
    return storage.data() + start;    // stays: enough is reserved
  };
  nep.shape = shape;
  nep.descriptors = D;
  nep.components = (shape.l_max + 1) * (shape.l_max + 1) - 1;
  nep.one_cutoff = static_cast<Real>(shape.cutoff) == static_cast<Real>(shape.angular_cutoff);
  nep.bias = *arrays.bias;
  nep.radial = copy(arrays.radial, radial);
  nep.angular = copy(arrays.angular, angular);
  nep.hidden_bias = copy(arrays.hidden_bias, static_cast<std::size_t>(S) * H);
  nep.output = copy(arrays.output, static_cast<std::size_t>(S) * H);
  if (arrays.charges) nep.charges = copy(arrays.charges, S);
  nep.hidden = storage.data() + storage.size();
  for (int s = 0; s < S; ++s)
    for (int h = 0; h < H; ++h)
      for (int d = 0; d < D; ++d)
        storage.push_back(arrays.hidden[(static_cast<std::size_t>(s) * D + d) * H + h] * arrays.scaler[d]);
}

template <typename Real> template <typename Given> void NepModel<Real>::evaluate(const Block<Given> &block) const
{
  int longest_row = 0;
  for (int atom = 0; atom < block.atoms; ++atom) {
    const int begin = block.first[atom], end = block.first[atom + 1];
    if (block.species[atom] >= 0 && block.species[atom] < nep.shape.species) {
      longest_row = std::max(longest_row, end - begin);
      continue;
    }
    block.energies[atom] = 0;
    std::fill(block.gradient + 3 * static_cast<std::size_t>(begin), block.gradient + 3 * static_cast<std::size_t>(end), 0);
  }
  // A namespace has no address, so the three calls are spelled out.
  const auto run = [&](auto memory, auto evaluate) {
    const std::size_t bytes = (memory(nep, longest_row) + 63) / 64 * 64;
    const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, bytes), &std::free);
    if (!scratch) throw std::bad_alloc();
    evaluate(nep, block, longest_row, scratch.get());
  };
  using Memory = std::size_t (*)(const Nep<Real> &, int);
  using Evaluate = void (*)(const Nep<Real> &, const Block<Given> &, int, void *);
  switch (variant) {
#ifdef FUSEPOT_X86
    case Variant::avx512:
      return run(static_cast<Memory>(avx512::memory), static_cast<Evaluate>(avx512::evaluate));
    case Variant::avx2:
      return run(static_cast<Memory>(avx2::memory), static_cast<Evaluate>(avx2::evaluate));
#endif
    default:
      return run(static_cast<Memory>(portable::memory), static_cast<Evaluate>(portable::evaluate));
  }
}

template class NepModel<float>;
template class NepModel<double>;
template void NepModel<float>::evaluate(const Block<float> &) const;
template void NepModel<float>::evaluate(const Block<double> &) const;
template void NepModel<double>::evaluate(const Block<double> &) const;

template <typename Real> static int evaluate_block(const void *model, const fusepot_block *block)
{
  try {
    static_cast<const NepModel<Real> *>(model)->evaluate(
        Block<double>{block->atoms, block->first, block->species, block->other_species, block->vectors, block->energies,
                      block->gradient});
    return 0;
  } catch (...) {
    return 1;
  }
}

template <typename Real>
static void *create(const fusepot_nep_shape &shape, const NepArrays<Real> &arrays, const char *simd)
{
  Variant variant;
  if (!find_variant(simd, variant)) return nullptr;
  return new (std::nothrow) NepModel<Real>(shape, arrays, variant);
}

}    // namespace fusepot

/* For programs that hold a model over many blocks (LAMMPS). `simd` names the instruction set: "avx512", "avx2",
   "default", or "" for the fastest. Null where this machine does not have it. */
extern "C" {

void *fusepot_nep_create_f32(const fusepot_nep_shape *shape, const fusepot::NepArrays<float> *arrays, const char *simd)
{
  return fusepot::create(*shape, *arrays, simd);
}

void *fusepot_nep_create_f64(const fusepot_nep_shape *shape, const fusepot::NepArrays<double> *arrays, const char *simd)
{
  return fusepot::create(*shape, *arrays, simd);
}

void fusepot_nep_destroy_f32(void *model) { delete static_cast<fusepot::NepModel<float> *>(model); }
void fusepot_nep_destroy_f64(void *model) { delete static_cast<fusepot::NepModel<double> *>(model); }

/* fusepot_evaluate_block for such a model. */
int fusepot_nep_evaluate_f32(const void *model, const fusepot_block *block)
{
  return fusepot::evaluate_block<float>(model, block);
}

int fusepot_nep_evaluate_f64(const void *model, const fusepot_block *block)
{
  return fusepot::evaluate_block<double>(model, block);
}

/* Whether this machine runs the instruction set of this name. */
int fusepot_has_simd(const char *name)
{
  fusepot::Variant variant;
  return fusepot::find_variant(name, variant);
}
}
