"""A recipe with another component than it was written for."""

from tests.conftest import composed

FINETUNE = ["experiment=finetune_realesrgan_x4", "init_from=null", "data=sample"]


def perceptual(*overrides):
    with composed([*FINETUNE, *overrides]) as (_, config):
        return config["loss"]["terms"]["perceptual"]


def test_the_settings_of_the_component_it_was_written_for_are_left_out(caplog):
    term = perceptual("loss/perceptual=lpips", "loss.terms.perceptual.weight=2")
    assert term == {"name": "lpips", "net": "vgg", "weight": 2, "required": False, "start": 0}
    [line] = [record.getMessage() for record in caplog.records if "not used" in record.getMessage()]
    assert "loss.terms.perceptual.layers, loss.terms.perceptual.criterion: set by experiment=fine" in line
    assert "for vgg19, not used for lpips" in line


def test_a_component_with_arguments_of_the_same_name_has_its_own_values():
    term = perceptual("loss/perceptual=vgg16", "loss.terms.perceptual.criterion=cosine")
    assert (term["layers"], term["criterion"]) == ({"conv5_3": 1.0}, "cosine")


def test_of_a_schedule_and_of_a_network():
    with composed(["experiment=msrresnet_x4", "optim/schedule=constant", "data=sample"]) as (_, config):
        assert config["optim"]["schedule"] == {"name": "constant"}
        assert config["data"]["crop"] == 128  # of every dataset
    with composed(["experiment=realesr_general_x4", "model=srresnet", "data=sample", "init_from=null"]) as (_, config):
        assert "convolutions" not in config["model"]


def test_as_without_it_where_the_recipes_own_component_is_named():
    assert perceptual("loss/perceptual=vgg19") == perceptual()


def test_a_loss_without_a_part_that_the_recipe_chooses(train_py):
    outcome = train_py("experiment=esrgan_x4", "loss=pixel", "data=sample")
    assert outcome.code == 2
    assert "experiment=esrgan_x4 chooses loss/perceptual, which loss=pixel doesn't have" in outcome.err


def test_a_component_of_a_folder_of_ones_own(train_py, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("name: compact\nconvolutions: 2\nfeatures: 8\n")
    recipe = ["experiment=realesr_general_x4", "model=mine", "data=sample", "init_from=null"]
    outcome = train_py("--config-dir", str(tmp_path), *recipe, "optim.learning_rate=-1")
    assert outcome.code == 2 and "optim.learning_rate is -1" in outcome.err
    assert "Traceback" not in outcome.err
