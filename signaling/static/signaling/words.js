// The words that two people read to each other, by number (PROTOCOL.md, "The proof"): plain, and none sounds like another.

export const WORD_LIST = `
anchor apple arrow autumn bacon badge balcony bamboo banana barrel basket beaver bicycle blanket blossom bottle
bridge bronze bubble bucket butter button cabin cactus camel candle carpet castle cherry chimney circle coconut
coffee copper cotton cradle cricket crystal curtain daisy desert diamond dolphin donkey dragon drawer eagle elbow
elephant engine falcon feather finger forest fountain garden garlic giraffe glacier guitar hammer harbour helmet honey
iceberg island jacket jungle kettle kitchen ladder lantern lemon leopard lizard magnet marble meadow mirror monkey
mountain mushroom napkin needle ocean olive orange orchid oyster paddle panther parrot pebble pencil penguin pepper
piano pillow planet pocket potato rabbit rainbow ribbon saddle salmon silver spider squirrel statue sugar teapot
thunder tiger tomato tractor tunnel umbrella valley velvet violin wagon walnut whistle window winter yellow zebra
`.trim().split(/\s+/);
