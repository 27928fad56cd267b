// A small world with everything that a page has to bear: long words, writing from right to left,
// emoji, names of many scripts, edits and tombstones.

/** Fills a server in open mode; gives the users and the chats by name. */
export async function furnish(server) {
  const users = {};
  for (const name of ["Ada", "Mira", "Jonas", "يوسف", "中村"]) users[name] = await server.user(name);
  const { Ada, Mira, Jonas, يوسف: Yusuf, 中村: Nakamura } = users;
  const chats = {
    notes: await server.chat("Programme notes", Mira, Ada),
    long: await server.chat("Donaudampfschifffahrtsgesellschaftskapitänskajütenschlüsselbund", Jonas, Ada),
    arabic: await server.chat("تنسيق السفر", Yusuf, Ada),
    empty: await server.chat("Ideas", Ada),
    open: await server.chat("Lost and found", Jonas),
    rehearsal: await server.chat("Rehearsal", Ada, Mira, Jonas, Yusuf, Nakamura),
  };
  await server.say(chats.notes, Mira, "Second draft is in the folder. Two paragraphs shorter, as asked.");
  await server.say(chats.long, Jonas, "Zwölf Silben, keine Pause.");
  await server.say(chats.arabic, Yusuf, "القطار الساعة التاسعة صباحًا من الرصيف الثاني.");
  const gone = await talk(server, chats.rehearsal, users);
  return { users, chats, gone };
}

async function talk(server, chat, { Ada, Mira, Jonas, يوسف: Yusuf, 中村: Nakamura }) {
  const say = (who, text) => server.say(chat, who, text);
  await say(Mira, "Morning, all. Same room as last week?");
  await say(Jonas, "Same room. The heating works again, so no coats this time.");
  await say(Jonas, "Doors open at nine.");
  const slip = await say(Ada, "I will be ten minutes late.");
  await server.ask("PUT", `/message/${slip.messageId}`, { content: "I will be five minutes late: the 8:40 is cancelled.", customerId: Ada.customerId });
  await say(Yusuf, "سأحضر النوتات معي، لا تقلقوا.");
  const oops = await say(Mira, "wrong chat, sorry");
  await server.ask("DELETE", `/message/${oops.messageId}?customerId=${Mira.customerId}`);
  await say(Nakamura, "第三楽章から始めましょう。 Bar 48 again, please: https://example.com/scores/third-movement.pdf");
  await say(Jonas, "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(3));
  await say(Mira, "The list for today:\n1. Third movement, from bar 48\n2. The slow one, once through\n3. Encore, if there is time");
  await say(Mira, "👏🎻");
  await say(Ada, "See you there.");
  return oops;
}
