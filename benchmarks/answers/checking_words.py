"""Holds the words the checking families are built of: names, things, sentences by topic and want.

Nothing here decides an answer: `checking_frames.py` has the sentence shapes, `make_checking.py`
draws from both. The sentences of `FILLER` name no thing, person, colour, number, animal or food of
the other lists, so that they can stand beside any text without touching its answer.
"""


def _parted(text: str, at: str = "|") -> list[str]:
    """Return the parts of a text: these lists are easier to read and to change as one text."""
    return text.split(at)


PEOPLE = _parted(
    "Tamsin Ivo Greta Bashir Lorna Casimir Nell Osric Petra Joaquim Rosalba Sven Tilda Umar Vera "
    "Wilf Yusra Zeno Agnes Boaz Clem Dilys Eskil Fenna",
    " ",
)
WOMEN = _parted("Tamsin Greta Lorna Nell Petra Rosalba Tilda Vera Yusra Agnes Dilys Fenna", " ")
TENS = _parted("twenty thirty forty fifty sixty seventy eighty ninety", " ")
SMALL = _parted(  # from six on
    "six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen",
    " ",
)
PLACES = _parted(
    "Orrin Quay|Fallow Down|Stoke Merrow|Tarn Bridge|Lower Penhale|Garnet Point|Wexcombe|Dunmarsh|"
    "Kirkby Lea|Saltholm|Bristle Cross|Aldermoor|Pinfold|Cranwick|Eastry Lock|Thornby Well|"
    "Upper Quill|Barrow Hill|Sedge Island|Cobb Ness"
)
BOATS = _parted(
    "Heron Petrel Marigold Dunlin Kittiwake Osprey Juniper Bramble Wagtail Sandpiper Curlew "
    "Foxglove Teasel Comet Harvester Valiant Nimbus Thistle Corncrake Primrose",
    " ",
)
THINGS = _parted(
    "kettle|auger|lantern|bucket|sieve|anvil|whistle|tarpaulin|funnel|hacksaw|compass|ladle|broom|"
    "padlock|torch|thimble|hammock|megaphone|wheelbarrow|spirit level|tape measure|oil can|trowel|"
    "paintbrush|ladder|rake|pulley|mallet|chisel|barometer|flask|doormat|clipboard|magnet|"
    "corkscrew|umbrella|anchor|easel|wrench|tripod"
)
STUFFS = _parted("brass iron copper wooden tin glass leather canvas clay steel wicker ivory", " ")
SHAPES = _parted("bowl box hook lamp tray bell buckle frame handle jug chest button", " ")
DAYS = _parted("Monday Tuesday Wednesday Thursday Friday Saturday Sunday", " ")
MONTHS = _parted(
    "January February March April May June July August September October November December",
    " ",
)
COLOURS = _parted("red white blue green yellow black grey brown purple orange", " ")
ANIMALS = _parted(
    "donkey|goat|swan|badger|pony|hedgehog|parrot|goose|squirrel|calf|rabbit|owl|lamb|ferret|"
    "heifer|pigeon|tortoise|hamster|otter|greyhound"
)
FOODS = _parted(
    "loaf of rye bread|plum cake|bowl of soup|cheese sandwich|dish of noodles|ham pie|lemon tart|"
    "plate of pancakes|jar of honey|bag of walnuts|roast chicken|bunch of grapes|boiled egg|"
    "slice of toast|pot of porridge|basket of pears|mushroom omelette|bar of chocolate|"
    "tray of biscuits|bowl of rice"
)
SIZES = _parted("long short heavy light wide narrow old new broken borrowed", " ")
CROPS = _parted(
    "leeks|beetroot|kale|radishes|peas|marrows|parsnips|chard|turnips|broad beans|onions|garlic|"
    "spinach|celery|fennel|lettuces|carrots|sprouts|pumpkins|rhubarb"
)
JOBS = _parted(
    "bell rope|notice board|library van|war memorial|cricket pavilion|village pump|car park|"
    "Sunday teas|flower rota|footpath map|tombola|parish newsletter|bus shelter|duck pond|"
    "playing field|lost property box|choir folders|coat pegs|hall piano|recycling bins"
)
SHOWS = _parted(
    "The Tide Table|Hedge School|Night Ferry|Odd Corners|The Kitchen Wireless|Down the Lane|"
    "Small Print|Attic Letters|The Long Platform|Half a Map|Lamplight|Three Bells|Weathervane|"
    "The Paper Round|Old Money|Borrowed Tunes|Harbour Talk|The Last Bus|Saturday Shed|Field Notes"
)
SITES = _parted(
    "rope museum|puppet theatre|swimming pool|pottery barn|lighthouse|toy library|seed bank|"
    "ice rink|model railway|water mill|planetarium|boating lake|cider press|butterfly house|"
    "printing works|castle tower|maze|chalk cave|bell foundry|clock collection"
)
OUTINGS = _parted(
    "the evening boat trip|the glass-blowing course|the new pie shop|the brass band concert|"
    "the harvest supper|the mystery bus tour|the puppet play|the model boat show|"
    "the lighthouse visit|the bread-baking class|the cider tasting|the second-hand bookshop|"
    "the tea garden|the night walk|the pottery weekend|the steam fair|"
    "the quiz night|the village pantomime|the guest house above the mill|the bee-keeping talk|"
    "the open-air opera|the garden centre|the fish supper|the escape room"
)

GOOD = _parted(
    "Everything went just as promised.|The staff could not have been kinder.|"
    "Not for a minute were we bored.|I have rarely spent money so well.|"
    "The whole family is still talking about it with a smile.|"
    "It was far better than the brochure had made us hope.|I cannot find a fault with it.|"
    "We laughed all the way home.|Somebody has clearly put a lot of love into this.|"
    "It made a grey week bright.|I was sorry when it was over.|"
    "Even my hard-to-please uncle nodded and said it was splendid.|"
    "The care that goes into every detail is a joy.|It was worth every penny.|"
    "I felt welcome from the first moment.|Nothing was too much trouble for them.|"
    "The quality surprised me in the best way.|It was a treat from start to finish.|"
    "Our children begged to do it all over again.|I came away delighted."
)
BAD = _parted(
    "Hardly anything was as promised.|The staff could not have cared less.|"
    "We were bored within minutes.|I have rarely spent money so badly.|"
    "The whole family is still grumbling about it.|It fell far short of what the brochure showed.|"
    "I could not find one good thing about it.|We sulked all the way home.|"
    "Nobody seems to have taken the least trouble.|It spoiled a sunny week.|"
    "I was glad when it was over.|Even my easy-going uncle called it a swindle.|"
    "The carelessness in every detail is a disgrace.|It was not worth a penny.|"
    "I felt unwelcome from the first moment.|Every small wish was too much trouble for them.|"
    "The quality shocked me.|It was a letdown from start to finish.|"
    "Our children begged to leave.|I came away annoyed."
)
LOVE = _parted(
    "All in all, a clear yes from me.|We have already booked again.|Full marks.|"
    "On the whole I loved it.|I would do it again tomorrow.|In the end I am glad we went for it.|"
    "Taken together: wonderful.|My verdict: go, you will not regret it.|"
    "I am telling all my friends to try it.|When I weigh it all up, I am thoroughly happy."
)
HATE = _parted(
    "All in all, a clear no from me.|We will never book again.|No marks at all.|"
    "On the whole I hated it.|I would not do it again if you paid me.|"
    "In the end I am very sorry we went for it.|Taken together: dreadful.|"
    "My verdict: stay away, you would regret it.|I am telling all my friends to avoid it.|"
    "When I weigh it all up, I am thoroughly unhappy."
)
SNAGS = _parted(  # small faults, in a review that praises
    "True, the car park is muddy.|Yes, it began ten minutes late.|The chairs are a little hard.|"
    "The leaflet has a spelling mistake.|It is not the cheapest.|The way there is badly signed.|"
    "I missed a place to hang my coat.|The music at the entrance is a bit loud.|"
    "The ticket machine was out of order.|One light bulb flickered.|It drizzled on arrival.|"
    "The queue was longish."
)
PERKS = _parted(  # small merits, in a review that condemns
    "True, the car park is large.|Yes, it began on time.|The chairs are soft enough.|"
    "The leaflet is nicely printed.|It is not expensive.|The way there is well signed.|"
    "There is a good place to hang your coat.|The music at the entrance is pleasant.|"
    "The ticket machine worked.|The lights are pretty.|The sun shone on arrival.|"
    "The queue was short."
)

FILLER = _parted(
    "The notes were typed up the same evening and pinned to the wall.|"
    "The caretaker asked everyone to shut the side door on leaving.|"
    "There was some talk about the heating, on which nobody could agree.|"
    "A second copy of this page is kept in the office.|"
    "Please write clearly, since the last sheet was hard to read.|"
    "Anyone with a correction should hand it in at the desk.|"
    "The clock in the corridor is still slow, as was pointed out again.|"
    "As usual, the sheet was passed round for everybody to sign.|"
    "The rest of the page is too faded to be read.|"
    "Somebody has promised to bring a better pen next time.|"
    "The new form has more room for remarks than the old form had.|"
    "No other business was raised, and the papers were filed.|"
    "The spare key hangs where it always hangs.|"
    "This part was copied out by hand after the printer broke down.|"
    "Whoever reads this last should put the folder back.|"
    "The floor had just been swept, so shoes were left outside.|"
    "The draft was read aloud and nobody objected.|"
    "The windows on the street side will be cleaned before the holidays."
)

TOPICS = {
    "gardening": (
        "Earth up the leeks before the first frost.|Slugs have been at the lettuces again.|"
        "Prune the climbing rose right after it has flowered.|The compost heap wants turning.|"
        "Sow the broad beans two thumbs deep.|Tie the sweet peas to their canes.|"
        "A barrow of rotted straw will do the beds good.|Pick off yellow leaves and water at dusk."
    ),
    "cooking": (
        "Fry the onions gently until they turn golden.|Fold the egg whites into the batter.|"
        "Let the stew simmer under a lid for an hour.|The dough has to rise twice.|"
        "Grate the cheese and stir it into the sauce.|A pinch of salt brings out the sweetness.|"
        "Grease the tin and heat the oven well.|Taste the soup before you add more pepper."
    ),
    "weather": (
        "Fog will lie over the coast until noon.|Gusts are expected from the north-west.|"
        "The glass is falling and showers are on the way.|Hail fell for a quarter of an hour.|"
        "A mild night with clear skies lies ahead.|Thunder was heard far out to sea.|"
        "The frost should lift once the sun is up.|After a dry spell, drizzle is forecast again."
    ),
    "transport": (
        "The early bus no longer stops at the mill.|Roadworks close the bypass until Friday.|"
        "Change at the junction for the branch line.|The ferry sails an hour later on Sundays.|"
        "Passengers must buy a ticket before boarding.|The tram broke down between two stops.|"
        "A one-way street now leads to the station.|The last train left from platform two."
    ),
    "music": (
        "The altos came in a bar too early.|Her cello needs a new string.|"
        "The band tuned up behind the curtain.|He plays the slow movement from memory.|"
        "Our choir is learning a song in three parts.|The drummer kept a steady beat.|"
        "Practise the scale with both hands.|The organ pipes were silent for the encore."
    ),
    "sport": (
        "The home side scored in the last minute.|She ran her fastest lap of the season.|"
        "The referee showed a yellow card.|Our goalkeeper saved two penalties.|"
        "The relay team dropped the baton.|They lost the final in straight sets.|"
        "The league table has a new leader.|Warm up well before the sprint."
    ),
    "health": (
        "Take one tablet after meals.|The nurse changed the bandage this morning.|"
        "His cough is better, but the fever is back.|Keep the sprained ankle raised.|"
        "The doctor listened to her chest.|Rinse the cut and put on a clean plaster.|"
        "Patients should drink plenty and rest.|The dentist found a hole in a back tooth."
    ),
    "money": (
        "The savings account pays a little more interest now.|He owes the bank two instalments.|"
        "Write the amount on the cheque in words.|Our rent goes up by a tenth.|"
        "The treasurer added up the takings.|She paid off the loan a year early.|"
        "The invoice is still unpaid.|Income tax has to be declared by spring."
    ),
    "history": (
        "The castle was besieged for two winters.|The king signed the charter in a tent.|"
        "Monks founded the abbey some eight hundred years ago.|The Romans built a fort here.|"
        "In those days letters were sealed with wax.|The old wall dates from the civil war.|"
        "The queen was crowned at the age of nine.|Diggers found coins from an ancient empire."
    ),
    "computers": (
        "Restart the laptop after the update.|The password must have twelve characters.|"
        "She saved the file in the wrong folder.|The screen froze and the mouse stopped moving.|"
        "Back up your data before you install the program.|The printer driver is out of date.|"
        "Two cables to the server were mixed up.|The app crashes when I press the search button."
    ),
}
WANTS = {
    "refund": (
        "Please pay the full price back to my account.|I want my money back, nothing else.|"
        "Kindly return the sum I paid.|I would like to be repaid.|"
        "Send me back what I spent on it.|I ask you to give me my payment back."
    ),
    "repair": (
        "Could your workshop mend it?|Please put it in working order again.|"
        "I would like you to fix it.|Can you make it run again?|"
        "Please get the damage seen to, I want to go on using it.|Would you patch it up for me?"
    ),
    "information": (
        "Could you tell me how old it is?|Please let me know how it is cleaned.|"
        "I only want to know what it is made of.|Can you say which model this is?|"
        "How much does it weigh?|Where was it made, please?"
    ),
    "praise": (
        "I simply want to say how happy I am with it.|It is a marvel, well done to all of you!|"
        "My compliments to whoever made it.|You have done splendid work, and I wanted to say so.|"
        "Hats off, it could not be better.|I write only to tell you that it is superb."
    ),
    "cancellation": (
        "Please call off my order, nothing has been sent yet.|"
        "I have changed my mind before paying: strike it off the order list.|"
        "Do not send it, I no longer need it, and I have not paid.|"
        "Please drop my order, for which no bill has come yet.|"
        "I withdraw the order I placed; I have paid nothing so far.|"
        "Kindly take my name off the order, I do not want it any more and owe nothing."
    ),
    "exchange": (
        "Could I swap it for a bigger size?|Please send me the same in another colour for this.|"
        "I would like to trade it for a smaller model.|"
        "May I hand it back and take a different model?|"
        "Please replace it with the version that has a longer handle.|"
        "I would gladly switch it for the other design."
    ),
    "donation": (
        "I would like to give it to you for nothing.|You may have it as a gift.|"
        "I am offering it to you free of charge.|Please accept it as a present.|"
        "I want to hand it over to you and ask no money for it.|"
        "It is yours if you like, I do not want anything in return."
    ),
    "purchase": (
        "I would like to buy two more of them.|Please send me another at the usual price.|"
        "Put me down for three, I will pay on delivery.|I want to order one for my brother.|"
        "Please reserve one for me, I will come and pay for it.|I will take five, send the bill."
    ),
}
LEADS = _parted(
    "This is about the {thing}, the subject of my call on {day}.|"
    "I am writing about the {thing} from your shop in {place}.|"
    "Dear {person}, my letter concerns the {thing}.|A word on the {thing} we spoke of.|"
    "Hello! A line about the {thing}.|Good morning. It is about the {thing}.|"
    "My neighbour {person} told me to write to you about the {thing}.|"
    "On {day} I stood at your counter because of the {thing}."
)
ENDS = _parted(
    "Yours, {person}|Best wishes from {place}, {person}|You can reach me at {place}.|"
    "I am at home all {day}.|{person}, {place}|Greetings, {person}"
)
