"""MSRResNet and SRResNet for spandrel, which knows RRDBNet by itself.

    import sr_experiments.export.spandrel_plugin
    model = spandrel.ModelLoader().load_from_file("msrresnet_x4.safetensors")

After the import, spandrel and programs that use it read these networks, from exports of this project and from files
of BasicSR. Importing it twice is harmless.
"""

from collections.abc import Callable
from typing import Any

from spandrel import MAIN_REGISTRY, Architecture, ArchSupport, ImageModelDescriptor, SizeRequirements, StateDict
from torch import nn

from sr_experiments.checkpoints.detection import detect
from sr_experiments.generators.msrresnet import MSRResNet
from sr_experiments.generators.srresnet import SRResNet


class _OwnArchitecture(Architecture[Any]):
    def __init__(self, name: str, label: str, network: Callable[..., nn.Module]) -> None:
        super().__init__(id=label, name=label, detect=lambda state: (detect(state) or {}).get("name") == name)
        self.network = network

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[Any]:
        """Build the network that the state dict belongs to; the caller loads the weights."""
        arguments = {key: value for key, value in (detect(state_dict) or {}).items() if key != "name"}
        model = self.network(**arguments)
        return ImageModelDescriptor(
            model,
            state_dict,
            architecture=self,
            purpose="SR",
            tags=[f"{arguments['features']}nf", f"{arguments['blocks']}nb"],
            supports_half=True,
            supports_bfloat16=True,
            scale=arguments["scale"],
            input_channels=arguments["channels"],
            output_channels=arguments["channels"],
            size_requirements=SizeRequirements(),
        )


for _architecture in (
    _OwnArchitecture("msrresnet", "MSRResNet", MSRResNet),
    _OwnArchitecture("srresnet", "SRResNet", SRResNet),
):
    if _architecture.id not in MAIN_REGISTRY:
        MAIN_REGISTRY.add(ArchSupport.from_architecture(_architecture))
