"""Holds the sentence shapes of the checking families: what is said in a text and how it is asked.

Names in braces are filled in by the generators. Where a shape comes with a question, the two stand
side by side, so that a change to one shows what it does to the other.
"""

# One line a shape, with what is asked beside it, reads better than one word a line.
# fmt: off

LISTS = (  # plain lists: {items} is "a kettle, a rake and an oil can"
    "On the bench this morning: {items}.",
    "Dear {p}, in the porch I have left you {items}. Kind regards, {q}",
    "When {p} opened the sea chest, out came {items}.",
    "Radio play, scene two. On the table stand {items}. Enter {p}, looking round.",
    "Lot for the sale at {place}: {items}. Sold as seen.",
    "LOAN BOOK, {day}\n{lines}",
    "Found under the stage by {p} and {q}: {items}.",
    "Allotment shed, left wall: {items}. Signed: {p}",
)
HAS_ASKED = (
    "Does the list contain {x}?",
    "Is {x} among the things named?",
    "Does the text mention {x}?",
    "Can {x} be found in the list?",
    "Is {x} one of the things listed?",
    "Would a reader come across {x} in this text?",
)
LACKS_ASKED = (
    "Is {x} missing from the list?",
    "Is {x} absent from the things named?",
    "Does the text fail to mention {x}?",
    "Does the list lack {x}?",
    "Is it true that {x} is not listed?",
    "Does the list leave out {x}?",
)
TWO_LISTS = (  # text with what is there and what is not; how to ask for the one and the other
    ("Already in the cart: {here}. Still to be fetched: {gone}.",
     "Is {x} already in the cart?", "Is {x} still missing from the cart?"),
    ("Still out on loan are {gone}. Back in the store since {day}: {here}.",
     "Is {x} back in the store?", "Is {x} still missing from the store?"),
    ("{p} kept {here}, but gave away {gone}.",
     "Did {p} keep {x}?", "Is {x} one of the things that {p} did not keep?"),
    ("Of the things lent to the museum, {gone} could not be found; {here} turned up at {place}.",
     "Did {x} turn up?", "Is {x} still lost?"),
)

LARGER = (  # what is compared, sentence shapes, unit kind, words for more and less
    ("marrow", ("{e} weighs {v}.", "{e} tips the scales at {v}."), "kg", "heavier", "lighter"),
    ("boat", ("{e} is {v} long.", "{e} measures {v} from end to end."), "m", "longer", "shorter"),
    ("person", ("{e} is {v} old.", "{e} is {v} of age."), "age", "older", "younger"),
    ("site", ("{e} was built in {v}.", "{e} dates from {v}."), "year", "newer", "older"),
    ("thing", ("{e} costs {v}.", "{e} is marked at {v}."), "price", "dearer", "cheaper"),
    ("place", ("{e} lies {v} from here.", "It is {v} from here to {e}."), "km",
     "farther away", "closer"),
    ("show", ("{e} lasts {v}.", "{e} runs for {v}."), "time", "longer", "shorter"),
    ("parcel", ("{e} weighs {v}.", "{e} comes to {v}."), "mixed", "heavier", "lighter"),
    ("pole", ("{e} is {v} tall.", "{e} stands {v} high."), "cm", "taller", "shorter"),
    ("rope", ("{e} is {v} long.", "{e} reaches {v}."), "words", "longer", "shorter"),
)
LARGER_INTROS = (
    "", "Noted on {day}: ", "From the log. ", "{p} wrote down what was measured. ",
    "Figures for the notice board: ", "For the record: ",
)

OPENERS = (
    "We tried {s} on {day}.", "Last {day} it was my turn to try {s}.", "About {s}:",
    "{p} next door talked me into {s}.", "{p} and I chose {s} for a birthday.",
    "A few lines on {s} near {place}.", "So, {s}.", "You asked me for a report on {s}.",
)
MOOD_ASKED = (
    ("Is this review positive?", "Is this review negative?"),
    ("Did the writer like it?", "Did the writer dislike it?"),
    ("Is the writer pleased on the whole?", "Is the writer disappointed on the whole?"),
    ("Does the writer think well of it overall?", "Does the writer think badly of it overall?"),
    ("Is the final verdict favourable?", "Is the final verdict unfavourable?"),
    ("Is the writer glad to have chosen it?", "Does the writer regret having chosen it?"),
)

SAID = (  # text; statements that repeat one of its facts in other words
    ("Minutes, {place}. {p} will paint the shed on {day}, and {q} will order {n} bags of sand.",
     ("{p} is going to paint the shed", "the shed gets its paint on {day}",
      "{q} is the one who orders the sand", "the order is for {n} bags of sand")),
    ("Log of the {boat}: left {place} on {day} with {n} passengers, {p} at the helm. "
     "{q} stayed ashore with a cold.",
     ("{q} was not on board", "{p} steered the boat", "{n} passengers sailed on the {boat}",
      "the {boat} set out on {day}", "the boat departed from {place}")),
    ("The {thing} was given to the museum by {p}. It came from a house in {place} and was "
     "cleaned by {q} on {day}.",
     ("{p} was the giver of the {thing}", "{q} did the cleaning",
      "the {thing} used to be in a house in {place}", "the cleaning was done on {day}")),
    ("Dear {p}, the {thing} is ready. I had to fit {n} new screws. Please collect it in {place}, "
     "but not on {day}, when I am closed. {q}",
     ("the {thing} is fit to be picked up", "the repair took {n} new screws",
      "on {day} the shop is shut", "{q} did the repair", "the place to collect it is {place}")),
    ("Plot {n} now belongs to {p}, who grows {crop}. {q} gave it up on {day} to move to {place}.",
     ("{p} has taken over plot {n}", "plot {n} is used for growing {crop}",
      "{q} is moving to {place}", "it was on {day} that {q} gave up the plot")),
    ("Tonight on the wireless: {show}, written by {p} and read by {q}. It is set in {place} and "
     "has {n} parts.",
     ("{p} is the author of {show}", "the reader of {show} is {q}",
      "the story takes place in {place}", "there are {n} parts to it")),
    ("{p} did not come to the {day} market. {q} sold {n} crates of {crop} alone and drove home to "
     "{place}.",
     ("{p} was away from the market", "it was {q} who sold the {crop}", "{n} crates were sold",
      "{q} drove back to {place}", "the market was held on {day}")),
    ("Lost on {day} between {place} and the harbour: one {thing}. Finder, please ring {p}, not "
     "{q}, who is abroad. Reward: {n} euros.",
     ("whoever finds it should call {p}", "{q} is in a foreign country",
      "the finder will get {n} euros", "the loss happened on {day}")),
)
SAID_ASKED = (
    "Does the text say that {s}?", "According to the text, is it true that {s}?",
    "Do we read here that {s}?", "Does the writer state that {s}?",
    "Going by the text, is it right that {s}?", "Is it stated that {s}?",
)

TOPIC_INTROS = (
    "", "Note to self: ", "Overheard: ", "From a postcard by {p}: ", "{p} told {q}: ",
    "Cutting from the {place} newsletter: ", "Back page: ",
)
TOPIC_BY = (
    "what the text is about", "its topic", "the subject it deals with",
    "the part of life it belongs to", "the shelf it should be filed on", "the theme of the lines",
)
WANT_BY = (
    "what the writer wants", "the purpose of the letter", "what the writer is after",
    "the kind of request or message", "the wish behind it", "why the customer is writing",
)

HOLDERS = (  # {x} is a noun with its article
    "{p} left {x} outside the station on {day}.", "{p} saw {x} near {place}.",
    "There was {x} in the yard when {p} arrived.", "{p} drew {x} for the {day} newsletter.",
    "A photograph of {x} hangs in the hall at {place}.", "{p} carried {x} across the bridge.",
    "Nobody at {place} had expected {x} in the porch.", "On {day} the child pointed at {x}.",
    "{p} came back from {place} with {x}.", "In the play, {x} stands centre stage.",
)
ASKING = (
    "When does the {boat} leave for {place}?", "Please tell me who has the {thing}.",
    "Could you let me know where {p} lives now?", "Has {p} been to {place} yet?",
    "I wonder what the {thing} costs. Do write back.", "Who will open the hall on {day}?",
    "We would like to hear from you how old the {boat} is.", "Which of you took the {thing}?",
)
TELLING = (
    "The {boat} leaves for {place} at noon.", "{p} has the {thing}.", "{p} lives in {place} now.",
    "{p} has been to {place} twice.", "The {thing} costs more than it did.",
    "{p} will open the hall on {day}.", "The {boat} is older than the pier.",
    "I put the {thing} back where it belongs.",
)
POLITE = (
    "Would you be so kind as to hand {p} the {thing}?",
    "Thank you so much for lending {p} the {thing}.",
    "Excuse me, {p}, might I trouble you for the {thing}?",
    "If it is no trouble, please bring the {thing} on {day}.",
    "I should be very grateful if you returned the {thing}.",
    "May I ask you, dear {p}, to pass me the {thing}, please?",
)
RUDE = (
    "Give {p} the {thing}, and be quick about it, you fool.", "Keep your silly {thing}, {p}.",
    "Oi, {p}! Hands off the {thing}!", "Bring the {thing} on {day} or you will be sorry.",
    "Only an idiot would forget the {thing} again.", "Shut up, {p}, and pass me that {thing}.",
)
YES_LETTER = (
    "{p} is happy to come to {place} on {day}.", "Count {p} in for {day}.",
    "Yes, {p} will gladly sing on {day}.", "{p} takes up the offer of a seat on the {boat}.",
    "With pleasure: {p} will be at {place}.", "{p} says yes to the trip on the {boat}.",
)
NO_LETTER = (
    "{p} is sorry not to be able to come to {place} on {day}.", "Count {p} out for {day}.",
    "No, {p} will not sing on {day}.", "{p} turns down the offer of a seat on the {boat}.",
    "With regret: {p} will stay away from {place}.", "{p} says no to the trip on the {boat}.",
)

LOOKUPS = (  # heading; a row; the key's, first and second value's lists; the two questions
    ("Tool loans", "{k}: lent to {v}, back by {w}", "thing person day",
     "Who has borrowed the {k}?", "On which day is the {k} due back?"),
    ("Berths", "The {k} lies at {v}; her skipper is {w}", "boat place person",
     "Where does the {k} lie?", "Who is the skipper of the {k}?"),
    ("Display case", "{k}, a gift of {v}, was found near {w}", "thing person place",
     "Who gave the {k}?", "Near which place was the {k} found?"),
    ("This week's readings", "{k} is read by {v} on {w}", "show person day",
     "Who reads {k}?", "On what day is {k} read?"),
    ("Plots", "{k} grows {v} and has a gate painted {w}", "person crop colour",
     "What does {k} grow?", "What colour is the gate of {k}?"),
    ("Who does what", "The {k}: {v} is in charge, {w} stands in", "job person person",
     "Who is in charge of the {k}?", "Who stands in for the one in charge of the {k}?"),
    ("Parcels", "{k}'s parcel comes from {v} and has the label in {w}", "person place colour",
     "Where does the parcel for {k} come from?", "What colour is the label on {k}'s parcel?"),
    ("Coach trips", "On {k} the coach goes to {v}, with {w} at the wheel", "day place person",
     "Where does the coach go on {k}?", "Who drives the coach on {k}?"),
)

COUNTS = (  # heading, an item's shape, list of names, values, question
    ("In the harbour", "{e} ({v})", "boat", ("red", "blue", "white"), "How many boats are {v}?"),
    ("Roll call", "{e}: {v}", "person", ("present", "absent", "excused"),
     "How many members are marked as {v}?"),
    ("Tools", "{e} - {v}", "thing", ("returned", "on loan", "lost"),
     "How many of the tools are {v}?"),
    ("Seed trays", "{e}, {v}", "crop", ("sprouted", "bare so far", "eaten by mice"),
     "How many of the crops are noted as {v}?"),
    ("Supper list", "{e} brings {v}", "person", ("a cake", "a salad", "lemonade"),
     "How many people bring {v}?"),
    ("Attractions", "{e}: {v}", "site", ("closed", "open", "under repair"),
     "How many attractions are {v}?"),
    ("Jobs", "{e} = {v}", "job", ("done", "to do", "half finished"),
     'How many jobs are marked "{v}"?'),
    ("Signals from the villages", "{e} reports {v}", "place", ("snow", "rain", "sun"),
     "How many villages report {v}?"),
)

AMONG = (  # a text; what its values are; for each value, how it is wanted
    ("The hall was first booked for {a}. As {p} was ill, the show moved to {b}; the fee is "
     "due by {c}.",
     "date", ("the date first booked", "the date the show was moved to",
              "the date by which the fee is due")),
    ("{p}'s stall: the {t} at {a}, the {u} at {b}. Delivery to {place} adds {c}.", "price",
     ("the price of the {t}", "the price of the {u}", "the charge for delivery")),
    ("{show} was written by {a}. In the studio {b} read it aloud, while {c} worked the sound desk.",
     "person", ("the name of the writer", "the name of the reader",
                "the name of the person at the sound desk")),
    ("The {boat} took on water at {a}, lay the night at {b} and reached {c} with {p} at the helm.",
     "place", ("the place where the boat took on water", "the place where the boat lay overnight",
               "the place that the boat reached last")),
    ("{day}, {place}: doors at {a}, curtain up at {b}. The last bus home goes at {c}.", "clock",
     ("the time the doors open", "the time the play starts", "the time of the last bus")),
    ("The portrait shows {a}. It was painted by {b} and hung for years in {place}, until {c} "
     "bought it.",
     "person", ("the name of the painter", "the name of the buyer", "the name of the sitter")),
    ("{p} ordered the {t} on {a}; it left {place} on {b} and was signed for on {c}.", "date",
     ("the date of the order", "the date it was sent off", "the date it was signed for")),
    ("Repair slip. New spring for the {t}: {a}. Labour: {b}. Paid in advance by {p}: {c}.", "price",
     ("the cost of the spring", "the cost of the labour", "the sum paid in advance")),
)

ASPECTS = {  # what is asked about a site, and texts that each give a part of the answer
    "When is the {s} open?": (
        "The {s} opens at nine on weekdays.", "On Sundays the {s} stays shut.",
        "From June on, the {s} closes at eight in the evening.",
        "During the midday hour nobody is let into the {s}, it is closed.",
    ),
    "What does it cost to get into the {s}?": (
        "Entry to the {s} is six euros for grown-ups.", "Children pay half to get into the {s}.",
        "A family ticket for the {s} costs fourteen euros.",
        "Members of the club need not pay anything at the {s}.",
    ),
    "How do I get to the {s}?": (
        "The number four bus stops in front of the {s}.",
        "On foot, follow the river path as far as the {s}.",
        "By car, turn left after the church to reach the {s}.",
        "A ferry from {place} lands right beside the {s}.",
    ),
    "Who works at the {s}?": (
        "{p} sells the tickets at the {s}.", "{q} is the caretaker of the {s}.",
        "Two students lead the tours of the {s}.", "{p} runs the {s} together with a cousin.",
    ),
    "What happened to the {s} in the past?": (
        "A fire destroyed half of the {s} long ago.", "The {s} was once flooded up to the ceiling.",
        "For ten years the {s} served as a school.", "The {s} was sold by an earl in a bet.",
    ),
}
SPEAKING = (
    "", "Desk notes. ", "Told by {person}: ", "From the leaflet: ", "Heard on radio: ", "Seen. ",
)

ORDERS = (  # a text, what it is about, kind of value, criteria for the least and the most first
    ("{e} costs {v}.", "thing", "price", "cheapest first", "dearest first"),
    ("{e} weighs in at {v}.", "parcel", "mixed", "lightest first", "heaviest first"),
    ("{e} sails at {v}.", "boat", "clock", "earliest departure first", "latest departure first"),
    ("{e} will be broadcast on {v}.", "show", "date", "earliest date first", "latest date first"),
    ("{e} goes back to the year {v}.", "site", "year", "oldest first", "newest first"),
    ("{e} is {v} down the road.", "place", "km", "nearest first", "farthest first"),
    ("{e} spoke for {v}.", "person", "time", "shortest talk first", "longest talk first"),
    ("Mend the {e} on {v}.", "job", "day", "earliest in the week first (the week starts on Monday)",
     "latest in the week first (the week starts on Monday)"),
    ("{e} stands {v} high.", "pole", "cm", "lowest first", "highest first"),
)

# facts; the question; what must be said (alternatives in a list); what must not be said
CHAINS: tuple[tuple[tuple[str, ...], str, list[str | list[str]], list[str]], ...] = (
    (("The photograph of the {thing} is in the {stuff} box.",
      "The {stuff} box stands in {p}'s shed.",
      "{q}'s shed holds only garden chairs."),
     "In whose shed is the photograph?", ["{p}"], ["{q}"]),
    (("Whoever has paid gets a ticket in {c}.", "Whoever has not paid gets a ticket in {d}.",
      "{p} paid on {day}."), "What colour is {p}'s ticket?", ["{c}"], ["{d}"]),
    (("Whoever has paid gets a ticket in {c}.", "Whoever has not paid gets a ticket in {d}.",
      "{p} has not paid."), "What colour is {p}'s ticket?", ["{d}"], ["{c}"]),
    (("Parcels of more than {n} kilos are handed in at {place}.",
      "Lighter ones are handed in at {other}.", "{p}'s parcel weighs {heavy} kilos."),
     "Where must {p} hand in the parcel?", ["{place}"], ["{other}"]),
    (("Parcels of more than {n} kilos are handed in at {place}.",
      "Lighter ones are handed in at {other}.", "{p}'s parcel weighs {light} kilos."),
     "Where must {p} hand in the parcel?", ["{other}"], ["{place}"]),
    (("The {boat} always sails on the day after the market.", "This week the market is on {day}.",
      "{p} is at the helm."), "On which day does the {boat} sail this week?", ["{after}"], []),
    (("{p} is older than {q}.", "{r} is younger than {q}."),
     "Who is the oldest of the three?", ["{p}"], ["{q} is", "{r} is"]),
    (("{p} lives farther from the mill than {q}.", "{q} lives farther from the mill than {r}."),
     "Who of the three lives nearest to the mill?", ["{r}"], ["{q} lives", "{p} lives"]),
    (("{p}, {q} and {r} each carry one thing: the {thing}, the {t} or the {u}.",
      "{p} carries the {t}.", "{q} does not carry the {thing}."),
     "What does {r} carry?", ["{thing}"], ["{t}", "{u}"]),
    (("{p}'s mother is {f}.", "{f}'s mother is {g}."),
     "What relation is {g} to {p}?", [["grandmother", "grandma", "granny"]], []),
    (("No boat with a torn sail may leave the harbour.", "The {boat} has a torn sail.",
      "The sail of the {ship} is whole."), "May the {boat} leave the harbour?",
     [["no", "not", "cannot", "can't", "must stay", "has to stay", "forbidden", "barred"]],
     ["yes", "no boat"]),
    (("No boat with a torn sail may leave the harbour, but every other boat may.",
      "The {boat} has a torn sail.", "The sail of the {ship} is whole."),
     "May the {ship} leave the harbour?", [["yes", "may", "can", "allowed", "free"]],
     ["no", "not", "cannot", "can't", "may the {ship}"]),
    (("{p} has {n} jars of jam.", "{q} has {m} jars more than {p}.", "{r} has no jam at all."),
     "How many jars of jam does {q} have?", [["{sum}", "{summed}"]], []),
    (("On {day} the {thing} belonged to {p} and the {t} to {q}.",
      "Later {p} and {q} swapped the two."), "Whose is the {thing} now?", ["{q}"],
     ["{p} has the {thing}", "{p} owns", "to {p}"]),
    (("All stewards at {place} get a {c} scarf and nobody else does.", "{p} has no such scarf.",
      "{q} wears one."), "Who is a steward at {place}?", ["{q}"], ["{p} is"]),
)
