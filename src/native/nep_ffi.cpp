/* The NEP kernel as a custom call of XLA: what `fusepot.models.nep_kernel` calls inside jit. MIT licence. */

#include "nep_model.h"

#include "xla/ffi/api/ffi.h"

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

namespace ffi = xla::ffi;

namespace {

/* Rows of sorted centers. Padding comes last and belongs to no row. */
std::vector<int32_t> rows(const int32_t *centers, int32_t pairs, int32_t atoms)
{
  std::vector<int32_t> first(atoms + 1);
  int32_t atom = 0;
  for (int32_t pair = 0; pair < pairs; ++pair)
    while (atom <= centers[pair] && atom < atoms) first[atom++] = pair;
  while (atom <= atoms) first[atom++] = pairs;
  return first;
}

template <ffi::DataType type, typename Real = ffi::NativeType<type>>
ffi::Error evaluate(ffi::Buffer<type> vectors, ffi::Buffer<ffi::S32> centers, ffi::Buffer<ffi::S32> others,
                    ffi::Buffer<ffi::PRED> pair_mask, ffi::Buffer<ffi::S32> species, ffi::Buffer<ffi::PRED> atom_mask,
                    ffi::Buffer<type> radial, ffi::Buffer<type> angular, ffi::Buffer<type> scaler,
                    ffi::Buffer<type> hidden, ffi::Buffer<type> hidden_bias, ffi::Buffer<type> output,
                    ffi::Buffer<type> bias, ffi::ResultBuffer<type> energies, ffi::ResultBuffer<type> gradient,
                    double cutoff, double angular_cutoff, double zbl_inner, double zbl_outer,
                    ffi::Span<const int64_t> zbl_numbers, int64_t l_max, int64_t four_body, int64_t five_body,
                    std::string_view simd)
try {
  const auto size = [](const auto &buffer, int axis) { return static_cast<int32_t>(buffer.dimensions()[axis]); };
  const fusepot_nep_shape shape{cutoff, angular_cutoff, zbl_inner, zbl_outer, size(radial, 0),
                                size(radial, 2), size(radial, 3), size(angular, 2), size(angular, 3),
                                static_cast<int32_t>(l_max), four_body != 0, five_body != 0, size(hidden, 2)};
  fusepot::Variant variant;
  if (!fusepot::find_variant(std::string(simd), variant))
    return ffi::Error::InvalidArgument("FUSEPOT_SIMD: this machine has no " + std::string(simd));
  const std::vector<double> charges(zbl_numbers.begin(), zbl_numbers.end());
  const fusepot::NepModel<Real> model(
      shape, {radial.typed_data(), angular.typed_data(), scaler.typed_data(), hidden.typed_data(), hidden_bias.typed_data(),
              output.typed_data(), bias.typed_data(), charges.empty() ? nullptr : charges.data()}, variant);

  const int32_t atoms = size(species, 0), all_pairs = size(centers, 0);
  int32_t pairs = all_pairs;
  while (pairs > 0 && !pair_mask.typed_data()[pairs - 1]) --pairs;
  const std::vector<int32_t> first = rows(centers.typed_data(), pairs, atoms);
  std::vector<int32_t> counted(species.typed_data(), species.typed_data() + atoms), other_species;
  for (int32_t atom = 0; atom < atoms; ++atom)
    if (!atom_mask.typed_data()[atom]) counted[atom] = -1;
  if (shape.species > 1) {
    other_species.resize(pairs);
    for (int32_t pair = 0; pair < pairs; ++pair)
      other_species[pair] = species.typed_data()[others.typed_data()[pair]];
  }
  Real *const slopes = gradient->typed_data();
  std::fill(slopes + 3 * static_cast<size_t>(pairs), slopes + 3 * static_cast<size_t>(all_pairs), Real(0));
  model.evaluate(fusepot::Block<Real>{atoms, first.data(), counted.data(), shape.species > 1 ? other_species.data() : nullptr,
                                      vectors.typed_data(), energies->typed_data(), slopes});
  return ffi::Error::Success();
} catch (const std::exception &error) {    // out of memory; no exception may cross XLA's frames
  return ffi::Error::Internal(error.what());
}

template <ffi::DataType type> auto binding()
{
  using Array = ffi::Buffer<type>;
  return ffi::Ffi::Bind()
      .template Arg<Array>()                     // vectors
      .template Arg<ffi::Buffer<ffi::S32>>()     // centers
      .template Arg<ffi::Buffer<ffi::S32>>()     // others
      .template Arg<ffi::Buffer<ffi::PRED>>()    // pair_mask
      .template Arg<ffi::Buffer<ffi::S32>>()     // species
      .template Arg<ffi::Buffer<ffi::PRED>>()    // atom_mask
      .template Arg<Array>()                     // radial
      .template Arg<Array>()                     // angular
      .template Arg<Array>()                     // scaler
      .template Arg<Array>()                     // hidden
      .template Arg<Array>()                     // hidden_bias
      .template Arg<Array>()                     // output
      .template Arg<Array>()                     // bias
      .template Ret<Array>()                     // energies
      .template Ret<Array>()                     // gradient
      .template Attr<double>("cutoff")
      .template Attr<double>("angular_cutoff")
      .template Attr<double>("zbl_inner")
      .template Attr<double>("zbl_outer")
      .template Attr<ffi::Span<const int64_t>>("zbl_numbers")
      .template Attr<int64_t>("l_max")
      .template Attr<int64_t>("four_body")
      .template Attr<int64_t>("five_body")
      .template Attr<std::string_view>("simd");
}

}    // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(fusepot_nep_ffi_f32, evaluate<ffi::F32>, binding<ffi::F32>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(fusepot_nep_ffi_f64, evaluate<ffi::F64>, binding<ffi::F64>());
