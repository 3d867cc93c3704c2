// A device for tests that is stricter than CUDA: see strict.py, which builds and loads it.
//
// Operations: one boxed fallback runs the CPU's kernel on the numbers in place, so that models and optimizers need
// nothing else. Time: a copy to the host that need not block arrives when it is waited for; until then its target is NaN.
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_set>

namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::IValue;
using c10::IntArrayRef;
using c10::Stream;
using torch::jit::Stack;

constexpr auto kStrict = c10::DeviceType::PrivateUse1;
const Device DEVICE(kStrict, 0);

bool is_strict(const Tensor& tensor) { return tensor.defined() && tensor.device().type() == kStrict; }

// -- memory -----------------------------------------------------------------------------------------------------------
std::mutex pins;
std::unordered_set<const void*> pinned;

bool is_pinned(const void* place) {
  std::lock_guard<std::mutex> lock(pins);
  return pinned.count(place) > 0;
}

void release(void* place) {
  std::lock_guard<std::mutex> lock(pins);
  pinned.erase(place);
  std::free(place);
}

struct Memory final : c10::DeviceAllocator {  // torch.accelerator.empty_cache asks for one
  explicit Memory(Device device) : device(device) {}
  c10::DataPtr allocate(size_t bytes) override {
    void* place = std::aligned_alloc(64, (bytes / 64 + 1) * 64);
    std::memset(place, 0xFF, bytes);  // NaN: what a kernel leaves out shows
    std::lock_guard<std::mutex> lock(pins);
    if (device.is_cpu()) pinned.insert(place);
    return {place, place, &release, device};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr&, Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex) override { return {}; }
  void resetAccumulatedStats(DeviceIndex) override {}
  void resetPeakStats(DeviceIndex) override {}
  Device device;
};

Memory& memory() {
  static auto* memory = new Memory(DEVICE);  // outlives every tensor
  return *memory;
}

// -- time -------------------------------------------------------------------------------------------------------------
// Copies under way, in the order of their asking. Whoever waits for the device or for an event behind a copy has it.
struct UnderWay {
  uint64_t number;
  Tensor target;
  Tensor values;
};

std::mutex way;
std::deque<UnderWay> under_way;
uint64_t asked = 0;
void (*on_wait)(const char*) = nullptr;  // Python's, which notes who waits for what

uint64_t asked_so_far() {
  std::lock_guard<std::mutex> lock(way);
  return asked;
}

void wait_for(uint64_t number, const char* what) {
  if (on_wait != nullptr) on_wait(what);
  std::lock_guard<std::mutex> lock(way);
  for (; !under_way.empty() && under_way.front().number <= number; under_way.pop_front()) {
    auto& [_, target, values] = under_way.front();
    std::memcpy(target.data_ptr(), values.data_ptr(), values.nbytes());
  }
}

void wait_for_all(const char* what) { wait_for(asked_so_far(), what); }

struct Guard final : c10::impl::DeviceGuardImplInterface {
  static constexpr auto static_type = kStrict;
  c10::DeviceType type() const override { return kStrict; }
  Device exchangeDevice(Device) const override { return DEVICE; }
  Device getDevice() const override { return DEVICE; }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  DeviceIndex deviceCount() const noexcept override { return 1; }
  Stream getStream(Device) const override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream getDefaultStream(Device) const override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream getNewStream(Device, int) const override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream exchangeStream(Stream stream) const override { return stream; }
  void synchronizeStream(const Stream&) const override { wait_for_all("stream"); }
  void synchronizeDevice(const DeviceIndex) const override { wait_for_all("device"); }

  // An event is the number of copies that had been asked for when it was recorded.
  void record(void** event, const Stream&, const DeviceIndex, const c10::EventFlag) const override {
    if (*event == nullptr) *event = new uint64_t;
    *static_cast<uint64_t*>(*event) = asked_so_far();
  }
  void block(void*, const Stream&) const override {}
  void synchronizeEvent(void* event) const override {
    wait_for(event == nullptr ? 0 : *static_cast<uint64_t*>(event), "event");
  }
  void destroyEvent(void* event, const DeviceIndex) const noexcept override { delete static_cast<uint64_t*>(event); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  void setCurrentDevice(DeviceIndex) const override {}
  DeviceIndex exchangeDevice(DeviceIndex) const override { return 0; }
  DeviceIndex maybeExchangeDevice(DeviceIndex) const override { return 0; }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    static auto* memory = new Memory(Device(c10::DeviceType::CPU));
    return memory;
  }
  bool isPinnedPtr(const void* place) const override { return is_pinned(place); }
  Device getDeviceFromPtr(void*) const override { return DEVICE; }
};

// -- operations -------------------------------------------------------------------------------------------------------
// The same numbers as a tensor of the CPU's, with the same place in its storage.
Tensor on_cpu(const Tensor& tensor) {
  if (!is_strict(tensor)) return tensor;
  const auto& storage = tensor.storage();
  c10::DataPtr numbers(const_cast<void*>(storage.data()), Device(c10::DeviceType::CPU));
  auto same = at::detail::make_tensor<c10::TensorImpl>(
      c10::Storage(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(numbers)),
      c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
  auto* impl = same.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.is_conj()) impl->_set_conj(true);
  if (tensor.is_neg()) impl->_set_neg(true);
  return same;
}

Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, std::optional<at::ScalarType> dtype,
                     std::optional<at::Layout>, std::optional<Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      sizes, strides, &memory(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

Tensor empty(IntArrayRef sizes, std::optional<at::ScalarType> dtype, std::optional<at::Layout>, std::optional<Device>,
             std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(
      sizes, &memory(), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

Tensor& set_storage(Tensor& self, at::Storage source, int64_t offset, IntArrayRef sizes, IntArrayRef strides) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(source));
  auto contiguous = at::detail::defaultStrides(sizes);
  self.unsafeGetTensorImpl()->set_sizes_and_strides(
      sizes, strides.size() == sizes.size() ? strides : IntArrayRef(contiguous), offset);
  return self;
}

Tensor& set_whole_storage(Tensor& self, at::Storage source) {
  int64_t numbers = source.nbytes() / self.dtype().itemsize();
  return set_storage(self, std::move(source), 0, {numbers}, {});
}

// Copies between host and device wait, unless they need not block and the host's memory is pinned. What need not block
// is late in any case: CUDA waits for pageable memory, MPS does not.
Tensor copy_from(const Tensor& from, const Tensor& to, bool non_blocking) {
  at::AutoDispatchBelowADInplaceOrView below;
  const bool out = !is_strict(to), in = !is_strict(from);
  if (out || in) {
    const Tensor& host = out ? to : from;
    bool plain = to.is_contiguous() && from.is_contiguous() && to.dtype() == from.dtype() && to.sizes() == from.sizes();
    bool late = non_blocking && plain && host.numel() > 0;
    if (!late || !is_pinned(host.storage().data())) wait_for_all(out ? "copy to the host" : "copy from the host");
    if (late && out) {
      auto values = on_cpu(from).clone();
      std::memset(to.data_ptr(), 0xFF, to.nbytes());
      std::lock_guard<std::mutex> lock(way);
      under_way.push_back({++asked, to, values});
      return to;
    }
  }
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

at::Scalar local_scalar_dense(const Tensor& tensor) {
  wait_for_all("item");
  return at::_local_scalar_dense(on_cpu(tensor));
}

Tensor moved_in(const Tensor& made) {
  if (!made.defined()) return made;
  auto out = at::empty_strided(made.sizes(), made.strides(), made.options().device(DEVICE));
  on_cpu(out).copy_(made);
  return out;
}

// The arguments of one operation as the CPU's kernel gets them, and the way back.
class Arguments {
 public:
  explicit Arguments(const c10::OperatorHandle& op) : op_(op) {}

  IValue to_cpu(const IValue& value) {
    if (value.isTensor()) return tensor_to_cpu(value.toTensor());
    if (value.isTensorList()) {
      c10::List<Tensor> out;
      for (const Tensor& each : value.toTensorVector()) out.push_back(tensor_to_cpu(each));
      return out;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> out;
      for (const std::optional<Tensor>& each : value.toOptionalTensorVector())
        out.push_back(each.has_value() ? std::make_optional(tensor_to_cpu(*each)) : std::nullopt);
      return out;
    }
    if (value.isDevice() && value.toDevice().type() == kStrict) return Device(c10::DeviceType::CPU);
    return value;
  }

  // Tensors on the host beside those on the device are a mistake, but for numbers and indices.
  void check_devices() const {
    static const std::unordered_set<std::string> either{"aten::index", "aten::index_put_", "aten::_index_put_impl_"};
    TORCH_CHECK(
        places_.empty() || !host_ || either.count(op_.schema().name()),
        "strict: ", op_.schema().name(), " expected all tensors to be on the same device, and found one on the CPU");
  }

  IValue from_cpu(const IValue& value) const {
    if (value.isTensor()) return tensor_from_cpu(value.toTensor());
    if (!value.isTensorList()) return value;
    c10::List<Tensor> out;
    for (const Tensor& each : value.toTensorVector()) out.push_back(tensor_from_cpu(each));
    return out;
  }

  // A kernel gives what is empty the size that it writes.
  void take_back_filled() const {
    for (const auto& [tensor, same] : places_) {
      if (same.sizes() == tensor.sizes()) continue;
      tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(moved_in(same).storage());
      tensor.unsafeGetTensorImpl()->set_sizes_and_strides(same.sizes(), same.strides());
    }
  }

 private:
  struct Place {
    Tensor tensor;
    Tensor same;
  };

  Tensor tensor_to_cpu(const Tensor& tensor) {
    if (!is_strict(tensor)) {
      host_ = host_ || (tensor.defined() && tensor.dim() > 0);
      return tensor;
    }
    const auto options = at::TensorOptions().dtype(tensor.dtype());
    auto same = tensor.numel() > 0 ? on_cpu(tensor) : at::empty(tensor.sizes(), options);
    places_.push_back({tensor, same});
    return same;
  }

  // What was written to is the argument itself; what lies in an argument's storage, a view of it; all else is new.
  Tensor tensor_from_cpu(const Tensor& result) const {
    for (const auto& place : places_)
      if (place.same.is_same(result)) return place.tensor;
    if (!result.defined() || result.numel() == 0) return moved_in(result);
    const auto* address = static_cast<const char*>(result.const_data_ptr());
    for (const auto& place : places_) {
      const auto& storage = place.tensor.storage();
      const auto* start = static_cast<const char*>(storage.data());
      if (address < start || address >= start + storage.nbytes()) continue;
      auto out = at::detail::make_tensor<c10::TensorImpl>(
          c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), result.dtype());
      out.unsafeGetTensorImpl()->set_sizes_and_strides(
          result.sizes(), result.strides(), (address - start) / result.dtype().itemsize());
      return out;
    }
    return moved_in(result);
  }

  const c10::OperatorHandle& op_;
  std::vector<Place> places_;
  bool host_ = false;
};

void check_waits(const c10::OperatorHandle& op) {
  static const std::unordered_set<std::string> solvers{"aten::_linalg_svd", "aten::_linalg_eigh", "aten::_linalg_eigvals"};
  bool waits = op.hasTag(at::Tag::dynamic_output_shape) || op.hasTag(at::Tag::data_dependent_output);
  if (waits || solvers.count(op.schema().name())) wait_for_all(op.schema().name().c_str());
}

void on_the_cpu(const c10::OperatorHandle& op, Stack* stack) {
  at::AutoDispatchBelowADInplaceOrView below;
  check_waits(op);
  const size_t first = stack->size() - op.schema().arguments().size();
  Arguments arguments(op);
  for (size_t i = first; i < stack->size(); ++i) (*stack)[i] = arguments.to_cpu((*stack)[i]);
  arguments.check_devices();
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  arguments.take_back_filled();
  for (size_t i = first; i < stack->size(); ++i) (*stack)[i] = arguments.from_cpu((*stack)[i]);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("set_.source_Storage_storage_offset", set_storage);
  library.impl("set_.source_Storage", set_whole_storage);
  library.impl("_copy_from", copy_from);
  library.impl("_local_scalar_dense", local_scalar_dense);
}

[[maybe_unused]] const bool registered = [] {
  c10::SetAllocator(kStrict, &memory());
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace

extern "C" void strict_on_wait(void (*call)(const char*)) { on_wait = call; }
