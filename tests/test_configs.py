import pytest

from configs import gta2city, synthetic, synthia2city


def test_deeplab_comes_with_the_papers_settings():
    for network in ("deeplabv2_resnet101", "deeplabv3plus_resnet101"):
        config = gta2city.get_config(f"method=ripu,network={network}")
        assert config.pretrained == "resnet101-imagenet.safetensors"
        training = config.training
        assert (training.optimizer, training.learning_rate) == ("sgd", 2.5e-4)
        assert (training.schedule_power, training.schedule_steps) == (0.9, 62_500)
        assert training.warmup == 0


@pytest.mark.parametrize("module", [gta2city, synthia2city])
def test_segformer_comes_with_its_own(module):
    config = module.get_config("network=segformer_b4,method=cbda")
    assert config.pretrained == "mit_b4-imagenet.safetensors"
    training = config.training
    assert (training.optimizer, training.learning_rate) == ("adamw", 6e-5)
    assert (training.schedule_power, training.schedule_steps) == (1.0, 40_000)
    assert (training.warmup, training.weight_decay, training.head_multiplier) == (1500, 0.01, 10.0)


def test_what_is_asked_for_wins_over_the_networks_recipe():
    config = gta2city.get_config("network=segformer_b0,pretrained=mine.safetensors,steps=7")
    assert config.pretrained == "mine.safetensors"
    assert config.training.steps == 7
    assert config.training.optimizer == "adamw"


@pytest.mark.parametrize("module", [gta2city, synthetic, synthia2city])
def test_extras_are_off(module):
    config = module.get_config()
    assert config.training.ema == config.training.colour_jitter == 0
    assert config.training.accumulate == 1
    assert not config.training.restart_each_round
    assert not config.data.source_free
    assert config.data.source_order == "class_uniform"
    assert tuple(config.training.scale_range) == tuple(config.evaluation.scales) * 2 == (1.0, 1.0)
